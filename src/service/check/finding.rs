//! What a check finds, and how it is told.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// WAL cannot be received as the configuration says, or somebody else suffers from it.
    Error,
    /// It works today.
    Warning,
}

/// Something that is wrong with a server of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The host that it is about, if it is about one.
    pub host: Option<String>,
    /// What is wrong, in one line without passwords.
    pub problem: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
}

impl Finding {
    pub(super) fn error(problem: impl AsRef<str>) -> Self {
        Finding::new(Severity::Error, problem.as_ref())
    }

    pub(super) fn warning(problem: impl AsRef<str>) -> Self {
        Finding::new(Severity::Warning, problem.as_ref())
    }

    pub(super) fn new(severity: Severity, problem: &str) -> Self {
        Finding { severity, host: None, problem: in_one_line(problem), hint: None }
    }

    pub(super) fn hint(self, hint: impl AsRef<str>) -> Self {
        Finding { hint: Some(in_one_line(hint.as_ref())), ..self }
    }

    pub(super) fn on(self, host: impl ToString) -> Self {
        Finding { host: Some(host.to_string()), ..self }
    }
}

/// What was found out about a server of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedServer {
    /// Its name.
    pub name: String,
    /// What is wrong: errors first, then by host.
    pub findings: Vec<Finding>,
}

impl CheckedServer {
    pub(super) fn new(name: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| (a.severity, &a.host).cmp(&(b.severity, &b.host)));
        CheckedServer { name: name.to_owned(), findings }
    }

    /// Counts the findings of a kind.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Puts the lines of a server's message behind each other.
fn in_one_line(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    line.chars().filter(|character| !character.is_control()).collect()
}

/// Prints a size in the largest of the server's units that loses little.
pub(super) fn shown_size(bytes: u64) -> String {
    let units = [("TB", 40), ("GB", 30), ("MB", 20), ("kB", 10)];
    match units.iter().find(|(_, shift)| bytes >> shift >= 10 || bytes.trailing_zeros() >= *shift) {
        Some((unit, shift)) if bytes > 0 => format!("{} {unit}", bytes >> shift),
        _ => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_in_units_that_lose_little() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 kB"),
            (1 << 30, "1 GB"),
            ((1 << 30) + 1, "1024 MB"),
            (50 << 30, "50 GB"),
            (u64::MAX, "16777215 TB"),
        ];
        for (bytes, expected) in table {
            assert_eq!(shown_size(bytes), expected);
        }
    }

    #[test]
    fn what_several_lines_say_is_said_in_one() {
        let finding = Finding::error("FATAL:  no\nDETAIL:  Really.\n\tWhy\u{1b}?\n");
        assert_eq!(finding.problem, "FATAL:  no; DETAIL:  Really.; Why?");
    }
}
