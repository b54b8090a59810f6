//! Messages in PostgreSQL's form (`src/common/logging.c`): `PROG: error: TEXT` and its kin.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Stderr, Write};

/// Writes messages of a program.
///
/// There is nowhere to complain when standard error cannot be written, so failures are passed over.
#[derive(Debug)]
pub struct Messages<W> {
    out: W,
    name: String,
    colors: Option<Colors>,
}

/// The terminal's codes for the parts of a message (`SGR` parameters); `None` leaves a part plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Colors {
    error: Option<String>,
    warning: Option<String>,
    note: Option<String>,
    locus: Option<String>,
}

impl Colors {
    /// Reads `PG_COLOR` and `PG_COLORS`. Without the latter there are default colours; with it, only
    /// the parts that it names have one.
    pub fn from_settings(
        pg_color: Option<&str>,
        pg_colors: Option<&str>,
        is_terminal: bool,
    ) -> Option<Self> {
        let is_wanted = match pg_color? {
            "always" => true,
            "auto" => is_terminal,
            _ => false,
        };
        is_wanted.then(|| {
            Self::parse(pg_colors.unwrap_or("error=01;31:warning=01;35:note=01;36:locus=01"))
        })
    }

    fn parse(list: &str) -> Self {
        let last = |part: &str| {
            let mut settings = list.rsplit(':').filter_map(|setting| setting.split_once('='));
            settings.find(|(name, _)| *name == part).map(|(_, code)| code.to_owned())
        };
        Colors {
            error: last("error"),
            warning: last("warning"),
            note: last("note"),
            locus: last("locus"),
        }
    }
}

impl Messages<Stderr> {
    /// Writes to standard error, in colour if the environment wants it.
    pub fn to_stderr(name: &str) -> Self {
        let variable = |name| env::var(name).ok();
        let (pg_color, pg_colors) = (variable("PG_COLOR"), variable("PG_COLORS"));
        let is_terminal = io::stderr().is_terminal();
        let colors = Colors::from_settings(pg_color.as_deref(), pg_colors.as_deref(), is_terminal);
        Messages::new(io::stderr(), name, colors)
    }
}

impl<W: Write> Messages<W> {
    /// Writes to `out`; `name` begins each message.
    pub fn new(out: W, name: &str, colors: Option<Colors>) -> Self {
        Messages { out, name: name.to_owned(), colors }
    }

    /// Says what went wrong.
    pub fn error(&mut self, text: impl Display) {
        self.tagged("error: ", |colors| colors.error.as_deref(), text);
    }

    /// Says what may be wrong.
    pub fn warning(&mut self, text: impl Display) {
        self.tagged("warning: ", |colors| colors.warning.as_deref(), text);
    }

    /// Says more about the message before.
    pub fn detail(&mut self, text: impl Display) {
        self.tagged("detail: ", |colors| colors.note.as_deref(), text);
    }

    /// Says what the user can do about the message before.
    pub fn hint(&mut self, text: impl Display) {
        self.tagged("hint: ", |colors| colors.note.as_deref(), text);
    }

    /// Says what is going on.
    pub fn info(&mut self, text: impl Display) {
        self.tagged("", |_| None, text);
    }

    /// Writes a line that has its own form.
    pub fn raw(&mut self, text: impl Display) {
        self.write(&format!("{text}\n"));
    }

    /// Returns where the messages go.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    fn tagged(&mut self, tag: &str, color: fn(&Colors) -> Option<&str>, text: impl Display) {
        let paint = |part: &str, code: Option<&str>| match code {
            Some(code) => format!("\x1b[{code}m{part}\x1b[0m"),
            None => part.to_owned(),
        };
        let colors = self.colors.as_ref();
        let locus = colors.and_then(|colors| colors.locus.as_deref());
        let name = paint(&format!("{}: ", self.name), locus);
        let tag = paint(tag, colors.and_then(color));
        let text = text.to_string();
        // The text of a server's error may end its own line.
        let text = text.strip_suffix('\n').unwrap_or(&text);
        self.write(&format!("{name}{tag}{text}\n"));
    }

    fn write(&mut self, line: &str) {
        // One call, so that lines of several processes do not mix.
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(colors: Option<Colors>, say: fn(&mut Messages<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        say(&mut Messages::new(&mut out, "prog", colors));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_of_message_has_its_tag() {
        let all = written(None, |messages| {
            messages.error("e\n");
            messages.warning("w");
            messages.detail("D.");
            messages.hint("H.");
            messages.info("i\n\n");
            messages.raw("NOTICE:  n");
        });
        let expected = "prog: error: e\nprog: warning: w\nprog: detail: D.\nprog: hint: H.\n\
            prog: i\n\nNOTICE:  n\n";
        assert_eq!(all, expected);
    }

    #[test]
    fn colors_follow_the_environment() {
        let default = "\x1b[01mprog: \x1b[0m\x1b[01;31merror: \x1b[0me\n\
            \x1b[01mprog: \x1b[0m\x1b[01;36mhint: \x1b[0mh\n\x1b[01mprog: \x1b[0mi\n";
        let chosen = "\x1b[mprog: \x1b[0m\x1b[35=xmerror: \x1b[0me\n\
            \x1b[mprog: \x1b[0mhint: h\n\x1b[mprog: \x1b[0mi\n";
        let plain = "prog: error: e\nprog: hint: h\nprog: i\n";
        let table = [
            (Some("always"), None, false, default),
            (Some("auto"), None, true, default),
            (Some("auto"), None, false, plain),
            (Some("never"), None, true, plain),
            (None, Some("error=35"), true, plain),
            (Some("always"), Some(""), true, plain),
            (Some("always"), Some("error=1:error=35=x:locus=:note:other=3"), false, chosen),
        ];
        for (pg_color, pg_colors, is_terminal, expected) in table {
            let colors = Colors::from_settings(pg_color, pg_colors, is_terminal);
            let all = written(colors, |messages| {
                messages.error("e");
                messages.hint("h");
                messages.info("i");
            });
            assert_eq!(all, expected, "{pg_color:?} {pg_colors:?} {is_terminal}");
        }
    }
}
