//! What the options of receiving WAL as a service mean together.

use std::path::PathBuf;

use super::no_operands;
use crate::cli::args::error::{Conflict, OptionsError};
use crate::cli::args::typed::{CheckOptions, ServeOptions, StatusOptions, Typed};

/// A service to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeRequest {
    /// Its configuration file.
    pub config: PathBuf,
}

impl ServeRequest {
    /// Works out what is meant.
    ///
    /// # Errors
    /// There is no file, or something else was typed.
    pub fn from_typed(typed: Typed<ServeOptions>) -> Result<Self, OptionsError> {
        no_operands(&typed.common.rest)?;
        Ok(ServeRequest { config: typed.common.config.ok_or(Conflict::NoConfigFile)? })
    }
}

/// A configuration to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRequest {
    /// The configuration file.
    pub config: PathBuf,
    /// Whether the findings are printed as an object.
    pub is_json: bool,
}

impl CheckRequest {
    /// Works out what is meant.
    ///
    /// # Errors
    /// There is no file, or something else was typed.
    pub fn from_typed(typed: Typed<CheckOptions>) -> Result<Self, OptionsError> {
        let CheckOptions { config, json, rest } = typed.common;
        no_operands(&rest)?;
        Ok(CheckRequest { config: config.ok_or(Conflict::NoConfigFile)?, is_json: json })
    }
}

/// A service to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRequest {
    /// Which one.
    pub source: StatusSource,
    /// Whether an object is printed also on a terminal.
    pub is_json: bool,
    /// Whether it is looked at again and again.
    pub is_watched: bool,
}

/// Which service is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusSource {
    /// The one with this configuration file.
    Config(PathBuf),
    /// The one that listens here.
    Address(String),
    /// The one that listens where services do by default.
    Default,
}

impl StatusRequest {
    /// Works out what is meant. An address wins over a file.
    ///
    /// # Errors
    /// Something else was typed.
    pub fn from_typed(typed: Typed<StatusOptions>) -> Result<Self, OptionsError> {
        let StatusOptions { config, address, json, watch, rest } = typed.common;
        no_operands(&rest)?;
        let source = match (address, config) {
            (Some(address), _) => StatusSource::Address(address),
            (None, Some(config)) => StatusSource::Config(config),
            (None, None) => StatusSource::Default,
        };
        Ok(StatusRequest { source, is_json: json, is_watched: watch })
    }
}
