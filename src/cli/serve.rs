//! `pgsiphon serve`: the service as a process. Its main thread looks once a second whether all is well, and does what
//! signals ask for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::args::ServeRequest;
use super::logs::{Log, LogError};
use super::signals::{self, Wish};
use super::{Messages, Program};
use crate::pg::OsError;
use crate::service::{
    Changes, Config, Http, HttpConfig, HttpError, Liveness, Notifier, ReadConfigError, Servers,
    StartError,
};

/// How often the main thread looks: soon enough for readiness and for a status line.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why the service did not begin.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ReadConfigError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("could not listen to signals: {}", OsError(.0))]
    Signals(#[from] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs until a signal ends it.
pub(super) fn run(program: &Program, request: &ServeRequest) -> ExitCode {
    match serve(&request.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Messages::to_stderr(program.name()).error(failure);
            ExitCode::FAILURE
        }
    }
}

fn serve(path: &Path) -> Result<(), Failure> {
    let config = Config::read(path)?;
    let wishes = signals::wishes()?;
    let mut service = Service::start(path, &config)?;
    service.run(&wishes);
    service.end();
    Ok(())
}

/// What runs, and how it was configured.
struct Service {
    path: PathBuf,
    log: Log,
    servers: Servers,
    http: Option<Http>,
    liveness: Arc<Liveness>,
    notifier: Notifier,
}

impl Service {
    fn start(path: &Path, config: &Config) -> Result<Self, Failure> {
        let log = Log::begin(config.log)?;
        let mut servers = Servers::new();
        let liveness = Arc::new(Liveness::new());
        // First, so that a second service with this file begins nothing.
        let http = config
            .http
            .map(|http| Http::start(http, Arc::clone(servers.board()), Arc::clone(&liveness)));
        let http = http.transpose()?;
        servers.apply(config)?;
        let version = env!("CARGO_PKG_VERSION");
        let listening = http.as_ref().map(|http| http.address().to_string());
        tracing::info!(version, servers = config.servers.len(), http = listening, "started");
        let notifier = Notifier::from_environment();
        Ok(Service { path: path.to_owned(), log, servers, http, liveness, notifier })
    }

    /// Returns when the end is asked for.
    fn run(&mut self, wishes: &Receiver<Wish>) {
        let ping_interval = self.notifier.ping_interval();
        let interval = ping_interval.map_or(LOOK_INTERVAL, |ping| ping.min(LOOK_INTERVAL));
        loop {
            self.look();
            match wishes.recv_timeout(interval) {
                Ok(Wish::Reload) => self.reload(),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Wish::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks how all are, for systemd and `/healthz`.
    fn look(&mut self) {
        let is_alive = self.servers.are_alive();
        if is_alive {
            self.liveness.confirm();
        }
        self.notifier.tell(&self.servers.board().statuses(), is_alive, Instant::now());
    }

    /// Reads the configuration again; what cannot be had stays as it is.
    fn reload(&mut self) {
        self.notifier.reloading();
        match Config::read(&self.path) {
            Ok(config) => self.change(&config),
            Err(error) => tracing::error!("configuration stays as it is: {error}"),
        }
        self.notifier.reloaded();
    }

    fn change(&mut self, config: &Config) {
        if let Err(error) = self.log.change(config.log) {
            tracing::error!("log stays as it is: {error}");
        }
        if config.http != self.http.as_ref().map(Http::config)
            && let Err(error) = self.listen_elsewhere(config.http)
        {
            tracing::error!("HTTP stays where it is: {error}");
        }
        match self.servers.apply(config) {
            Ok(Changes { started, restarted, stopped }) => {
                tracing::info!(?started, ?restarted, ?stopped, "read the configuration again");
            }
            Err(error) => tracing::error!("{error}"),
        }
    }

    fn listen_elsewhere(&mut self, config: Option<HttpConfig>) -> Result<(), HttpError> {
        let (board, liveness) = (Arc::clone(self.servers.board()), Arc::clone(&self.liveness));
        let start = |config| Http::start(config, Arc::clone(&board), Arc::clone(&liveness));
        let mut begun = config.map(start).transpose();
        // It may be we who have the port, at an address that the new one includes; then it has to be free first.
        let is_taken = begun.as_ref().is_err_and(HttpError::is_address_taken);
        let port = config.map(|config| config.listen.port());
        let in_the_way = self.http.take_if(|http| is_taken && Some(http.address().port()) == port);
        if let Some(before) = in_the_way.map(|http| http.config()) {
            begun = config.map(start).transpose();
            if begun.is_err() {
                let again = start(before);
                self.http =
                    again.inspect_err(|error| tracing::error!("HTTP has ended: {error}")).ok();
            }
        }
        self.http = begun?;
        Ok(())
    }

    fn end(mut self) {
        tracing::info!("received a signal, ending");
        self.notifier.stopping();
        self.servers.stop();
        tracing::info!("ended");
    }
}
