//! Where the service's log goes: lines for people on a terminal, journald's own protocol where that listens, JSON
//! elsewhere.

use std::env;
use std::io::{self, IsTerminal as _};

use rustix::fs::fstat;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::pg::OsError;
use crate::service::{LogConfig, LogFormat, LogLevel};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    /// journald is asked for, and does not listen.
    #[error("could not connect to journald: {}", OsError(.0))]
    Journald(#[from] io::Error),
    /// Another one was begun.
    #[error("could not begin the log: {0}")]
    Begin(#[from] tracing_subscriber::util::TryInitError),
    /// It does not take another form.
    #[error("could not change the log: {0}")]
    Change(#[from] reload::Error),
}

type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// The log of this process.
pub(super) struct Log {
    output: Handle<Output, Registry>,
}

impl Log {
    /// Begins it, for all threads.
    ///
    /// # Errors
    /// If it cannot be written as it should be.
    pub(super) fn begin(config: LogConfig) -> Result<Self, LogError> {
        let (layer, output) = reload::Layer::new(output(config)?);
        tracing_subscriber::registry().with(layer).try_init()?;
        Ok(Log { output })
    }

    /// Goes on as another configuration says.
    ///
    /// # Errors
    /// If it cannot be written as it should be; it goes on as before.
    pub(super) fn change(&self, config: LogConfig) -> Result<(), LogError> {
        Ok(self.output.reload(output(config)?)?)
    }
}

/// How a line is written, when that is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Journald,
}

fn output(config: LogConfig) -> Result<Output, LogError> {
    let level = level_filter(config.level);
    Ok(match form(config.format) {
        Form::Text => level.and_then(text()).boxed(),
        Form::Json => level.and_then(json()).boxed(),
        Form::Journald => match journald() {
            Ok(journald) => level.and_then(journald).boxed(),
            Err(_) if config.format == LogFormat::Auto => level.and_then(json()).boxed(),
            Err(error) => return Err(error.into()),
        },
    })
}

fn form(format: LogFormat) -> Form {
    match format {
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
        LogFormat::Journald => Form::Journald,
        LogFormat::Auto if io::stderr().is_terminal() => Form::Text,
        LogFormat::Auto if is_journal(env::var("JOURNAL_STREAM").ok().as_deref()) => Form::Journald,
        LogFormat::Auto => Form::Json,
    }
}

/// Says whether standard error goes to journald: its device and inode are those in the variable. The variable alone
/// says little, since children inherit it when their output goes elsewhere.
fn is_journal(variable: Option<&str>) -> bool {
    let stream = fstat(io::stderr()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    stream.is_ok_and(|stream| variable == Some(&stream))
}

fn text() -> impl Layer<Registry> {
    let layer = fmt::layer().with_writer(io::stderr).with_target(false).log_internal_errors(false);
    layer.with_ansi(io::stderr().is_terminal())
}

fn json() -> impl Layer<Registry> {
    let layer = fmt::layer().json().with_writer(io::stderr).with_target(false);
    layer
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .log_internal_errors(false)
}

fn journald() -> io::Result<impl Layer<Registry>> {
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    };
    let layer = tracing_journald::layer()?.with_priority_mappings(priorities);
    // A field "server" is PGSIPHON_SERVER in the journal.
    Ok(layer.with_field_prefix(Some("PGSIPHON".to_owned())))
}

const fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journald_listens_only_where_standard_error_is_its_stream() {
        let stat = fstat(io::stderr()).unwrap();
        let table = [
            (None, false),
            (Some(String::new()), false),
            (Some(format!("{}:{}", stat.st_dev, stat.st_ino)), true),
            (Some(format!("{}:{}", stat.st_dev, stat.st_ino + 1)), false),
            (Some(format!("{}", stat.st_ino)), false),
        ];
        for (variable, is_there) in table {
            assert_eq!(is_journal(variable.as_deref()), is_there, "{variable:?}");
        }
    }
}
