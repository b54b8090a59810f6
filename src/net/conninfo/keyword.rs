//! The names of connection parameters and of the environment variables behind them.

use std::fmt;

/// Defines [`Keyword`] from one table: variant, name, first major version, environment variable.
macro_rules! keywords {
    ($($variant:ident $name:literal $since:literal $variable:expr;)+) => {
        /// A connection parameter that libpq knows, in libpq's order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Keyword {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl Keyword {
            /// All keywords.
            pub const ALL: &[Keyword] = &[$(Keyword::$variant),+];

            /// Returns the name as it is written in connection strings.
            pub const fn name(self) -> &'static str {
                match self { $(Keyword::$variant => $name,)+ }
            }

            /// Returns the major version whose libpq is the first to know it, or 13 if that does.
            pub const fn since(self) -> u32 {
                match self { $(Keyword::$variant => $since,)+ }
            }

            /// Returns the environment variable that gives the value if nothing else does.
            pub const fn variable(self) -> Option<&'static str> {
                match self { $(Keyword::$variant => $variable,)+ }
            }
        }
    };
}

keywords! {
    Service "service" 13 Some("PGSERVICE");
    ServiceFile "servicefile" 19 Some("PGSERVICEFILE");
    User "user" 13 Some("PGUSER");
    Password "password" 13 Some("PGPASSWORD");
    Passfile "passfile" 13 Some("PGPASSFILE");
    ChannelBinding "channel_binding" 13 Some("PGCHANNELBINDING");
    ConnectTimeout "connect_timeout" 13 Some("PGCONNECT_TIMEOUT");
    Dbname "dbname" 13 Some("PGDATABASE");
    Host "host" 13 Some("PGHOST");
    Hostaddr "hostaddr" 13 Some("PGHOSTADDR");
    Port "port" 13 Some("PGPORT");
    ClientEncoding "client_encoding" 13 Some("PGCLIENTENCODING");
    Options "options" 13 Some("PGOPTIONS");
    ApplicationName "application_name" 13 Some("PGAPPNAME");
    FallbackApplicationName "fallback_application_name" 13 None;
    Keepalives "keepalives" 13 None;
    KeepalivesIdle "keepalives_idle" 13 None;
    KeepalivesInterval "keepalives_interval" 13 None;
    KeepalivesCount "keepalives_count" 13 None;
    TcpUserTimeout "tcp_user_timeout" 13 None;
    SslMode "sslmode" 13 Some("PGSSLMODE");
    SslNegotiation "sslnegotiation" 17 Some("PGSSLNEGOTIATION");
    SslCompression "sslcompression" 13 Some("PGSSLCOMPRESSION");
    SslCert "sslcert" 13 Some("PGSSLCERT");
    SslKey "sslkey" 13 Some("PGSSLKEY");
    SslCertMode "sslcertmode" 16 Some("PGSSLCERTMODE");
    SslPassword "sslpassword" 13 None;
    SslRootCert "sslrootcert" 13 Some("PGSSLROOTCERT");
    SslCrl "sslcrl" 13 Some("PGSSLCRL");
    SslCrlDir "sslcrldir" 14 Some("PGSSLCRLDIR");
    SslSni "sslsni" 14 Some("PGSSLSNI");
    RequirePeer "requirepeer" 13 Some("PGREQUIREPEER");
    RequireAuth "require_auth" 16 Some("PGREQUIREAUTH");
    MinProtocolVersion "min_protocol_version" 18 Some("PGMINPROTOCOLVERSION");
    MaxProtocolVersion "max_protocol_version" 18 Some("PGMAXPROTOCOLVERSION");
    SslMinProtocolVersion "ssl_min_protocol_version" 13 Some("PGSSLMINPROTOCOLVERSION");
    SslMaxProtocolVersion "ssl_max_protocol_version" 13 Some("PGSSLMAXPROTOCOLVERSION");
    GssEncMode "gssencmode" 13 Some("PGGSSENCMODE");
    KrbSrvName "krbsrvname" 13 Some("PGKRBSRVNAME");
    GssLib "gsslib" 13 Some("PGGSSLIB");
    GssDelegation "gssdelegation" 16 Some("PGGSSDELEGATION");
    Replication "replication" 13 None;
    TargetSessionAttrs "target_session_attrs" 13 Some("PGTARGETSESSIONATTRS");
    LoadBalanceHosts "load_balance_hosts" 16 Some("PGLOADBALANCEHOSTS");
    ScramClientKey "scram_client_key" 18 None;
    ScramServerKey "scram_server_key" 18 None;
    OauthIssuer "oauth_issuer" 18 None;
    OauthClientId "oauth_client_id" 18 None;
    OauthClientSecret "oauth_client_secret" 18 None;
    OauthScope "oauth_scope" 18 None;
    SslKeyLogFile "sslkeylogfile" 18 None;
}

impl Keyword {
    /// Finds a keyword by its name, which is case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|keyword| keyword.name() == name)
    }

    /// Says whether values must not appear in messages.
    pub const fn is_secret(self) -> bool {
        matches!(
            self,
            Keyword::Password
                | Keyword::SslPassword
                | Keyword::ScramClientKey
                | Keyword::ScramServerKey
                | Keyword::OauthClientSecret
        )
    }

    /// Returns what a message may show of a value.
    pub(super) fn shown(self, value: &str) -> String {
        if self.is_secret() { MASK.to_owned() } else { value.to_owned() }
    }
}

/// Stands where a secret would be.
pub(super) const MASK: &str = "***";

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for keyword in Keyword::ALL {
            assert_eq!(Keyword::from_name(keyword.name()), Some(*keyword));
        }
        for name in ["", "HOST", "tty", "authtype"] {
            assert_eq!(Keyword::from_name(name), None, "{name:?}");
        }
    }
}
