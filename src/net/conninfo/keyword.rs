//! The names of connection parameters and of the environment variables behind them.

use std::fmt;

/// Defines [`Keyword`] from one table: variant, name, environment variable.
macro_rules! keywords {
    ($($variant:ident $name:literal $variable:expr;)+) => {
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

            /// Returns the environment variable that gives the value if nothing else does.
            pub const fn variable(self) -> Option<&'static str> {
                match self { $(Keyword::$variant => $variable,)+ }
            }
        }
    };
}

keywords! {
    Service "service" Some("PGSERVICE");
    ServiceFile "servicefile" Some("PGSERVICEFILE");
    User "user" Some("PGUSER");
    Password "password" Some("PGPASSWORD");
    Passfile "passfile" Some("PGPASSFILE");
    ChannelBinding "channel_binding" Some("PGCHANNELBINDING");
    ConnectTimeout "connect_timeout" Some("PGCONNECT_TIMEOUT");
    Dbname "dbname" Some("PGDATABASE");
    Host "host" Some("PGHOST");
    Hostaddr "hostaddr" Some("PGHOSTADDR");
    Port "port" Some("PGPORT");
    ClientEncoding "client_encoding" Some("PGCLIENTENCODING");
    Options "options" Some("PGOPTIONS");
    ApplicationName "application_name" Some("PGAPPNAME");
    FallbackApplicationName "fallback_application_name" None;
    Keepalives "keepalives" None;
    KeepalivesIdle "keepalives_idle" None;
    KeepalivesInterval "keepalives_interval" None;
    KeepalivesCount "keepalives_count" None;
    TcpUserTimeout "tcp_user_timeout" None;
    SslMode "sslmode" Some("PGSSLMODE");
    SslNegotiation "sslnegotiation" Some("PGSSLNEGOTIATION");
    SslCompression "sslcompression" Some("PGSSLCOMPRESSION");
    SslCert "sslcert" Some("PGSSLCERT");
    SslKey "sslkey" Some("PGSSLKEY");
    SslCertMode "sslcertmode" Some("PGSSLCERTMODE");
    SslPassword "sslpassword" None;
    SslRootCert "sslrootcert" Some("PGSSLROOTCERT");
    SslCrl "sslcrl" Some("PGSSLCRL");
    SslCrlDir "sslcrldir" Some("PGSSLCRLDIR");
    SslSni "sslsni" Some("PGSSLSNI");
    RequirePeer "requirepeer" Some("PGREQUIREPEER");
    RequireAuth "require_auth" Some("PGREQUIREAUTH");
    MinProtocolVersion "min_protocol_version" Some("PGMINPROTOCOLVERSION");
    MaxProtocolVersion "max_protocol_version" Some("PGMAXPROTOCOLVERSION");
    SslMinProtocolVersion "ssl_min_protocol_version" Some("PGSSLMINPROTOCOLVERSION");
    SslMaxProtocolVersion "ssl_max_protocol_version" Some("PGSSLMAXPROTOCOLVERSION");
    GssEncMode "gssencmode" Some("PGGSSENCMODE");
    KrbSrvName "krbsrvname" Some("PGKRBSRVNAME");
    GssLib "gsslib" Some("PGGSSLIB");
    GssDelegation "gssdelegation" Some("PGGSSDELEGATION");
    Replication "replication" None;
    TargetSessionAttrs "target_session_attrs" Some("PGTARGETSESSIONATTRS");
    LoadBalanceHosts "load_balance_hosts" Some("PGLOADBALANCEHOSTS");
    ScramClientKey "scram_client_key" None;
    ScramServerKey "scram_server_key" None;
    OauthIssuer "oauth_issuer" None;
    OauthClientId "oauth_client_id" None;
    OauthClientSecret "oauth_client_secret" None;
    OauthScope "oauth_scope" None;
    SslKeyLogFile "sslkeylogfile" None;
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
