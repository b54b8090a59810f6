//! Which of several servers is taken: the order in which they are tried, and what a session must be
//! like to be kept.

use super::{ConninfoError, Keyword, Parameters};

/// What a session must be like (`target_session_attrs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Anything.
    #[default]
    Any,
    /// It can write.
    ReadWrite,
    /// It cannot write.
    ReadOnly,
    /// Its server is not in hot standby mode.
    Primary,
    /// Its server is in hot standby mode.
    Standby,
    /// Its server is in hot standby mode, or else anything.
    PreferStandby,
}

impl TargetSessionAttrs {
    const NAMES: [(&'static str, Self); 6] = [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        ("read-only", TargetSessionAttrs::ReadOnly),
        ("primary", TargetSessionAttrs::Primary),
        ("standby", TargetSessionAttrs::Standby),
        ("prefer-standby", TargetSessionAttrs::PreferStandby),
    ];

    pub(super) fn resolve(parameters: &Parameters) -> Result<Self, ConninfoError> {
        let given = parameters.choice(Keyword::TargetSessionAttrs, &Self::NAMES)?;
        Ok(given.unwrap_or_default())
    }
}

/// The order in which servers are tried (`load_balance_hosts`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalanceHosts {
    /// As they are listed.
    #[default]
    Disable,
    /// At random, and the addresses of each too.
    Random,
}

impl LoadBalanceHosts {
    const NAMES: [(&'static str, Self); 2] =
        [("disable", LoadBalanceHosts::Disable), ("random", LoadBalanceHosts::Random)];

    pub(super) fn resolve(parameters: &Parameters) -> Result<Self, ConninfoError> {
        let given = parameters.choice(Keyword::LoadBalanceHosts, &Self::NAMES)?;
        Ok(given.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(keyword: Keyword, value: &str) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.set(keyword, value);
        parameters
    }

    #[test]
    fn nothing_given_means_any_server_in_order() {
        let none = Parameters::default();
        assert_eq!(TargetSessionAttrs::resolve(&none), Ok(TargetSessionAttrs::Any));
        assert_eq!(LoadBalanceHosts::resolve(&none), Ok(LoadBalanceHosts::Disable));
    }

    #[test]
    fn names_are_those_of_libpq() {
        for (name, wanted) in TargetSessionAttrs::NAMES {
            let given = parameters(Keyword::TargetSessionAttrs, name);
            assert_eq!(TargetSessionAttrs::resolve(&given), Ok(wanted));
        }
        let given = parameters(Keyword::LoadBalanceHosts, "random");
        assert_eq!(LoadBalanceHosts::resolve(&given), Ok(LoadBalanceHosts::Random));
    }

    #[test]
    fn other_values_are_refused_in_libpqs_words() {
        for value in ["", "Primary"] {
            let given = parameters(Keyword::TargetSessionAttrs, value);
            let refusal = TargetSessionAttrs::resolve(&given).expect_err(value);
            let message = format!("invalid target_session_attrs value: \"{value}\"");
            assert_eq!(refusal.to_string(), message);
            let given = parameters(Keyword::LoadBalanceHosts, value);
            let refusal = LoadBalanceHosts::resolve(&given).expect_err(value);
            let message = format!("invalid load_balance_hosts value: \"{value}\"");
            assert_eq!(refusal.to_string(), message);
        }
    }
}
