//! TLS and what must hold when we sign in, against real servers and next to the original.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints,
};

use crate::support::authority::{Authority, Issued, authority, certificate, pem, self_signed};
use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::verify::{Wal, verify};

on_servers!(each_mode_meets_each_server: pg13 pg18);
on_servers!(server_certificates_are_judged: pg18);
on_servers!(server_certificates_need_issuers_that_may_sign: pg18);
on_servers!(server_certificates_keep_within_name_constraints: pg18);
on_servers!(revoked_certificates_are_refused: pg18);
on_servers!(client_certificates_are_shown: pg13 pg18);
on_servers!(scram_is_bound_to_the_session: pg13 pg15 pg18);
on_servers!(required_methods_are_required: pg13 pg18);
on_servers!(the_servers_account_is_checked: pg18);
on_servers!(tls_begins_at_once_where_the_server_can: pg13 pg17 pg18);
on_servers!(versions_are_kept_within_the_limits: pg13 pg18);
on_servers!(a_whole_backup_comes_over_tls: pg13 pg18);

/// A server's lines of `pg_hba.conf`: users are named by what lets them in.
const HBA: &str = "
    local replication local trust
    host replication anyhow all trust
    hostssl replication tls all trust
    hostnossl replication plain all trust
    hostssl replication scram all scram-sha-256
    hostnossl replication plainscram all scram-sha-256
    host replication md5 all md5
    host replication password all password
    hostssl replication client all cert
    local replication all reject
    host replication all all reject
";

/// A server with a place for certificates.
struct Rig {
    server: Server,
    /// Files of the server and of clients.
    files: Scratch,
}

impl Rig {
    /// Starts a server with TLS.
    fn new(installation: Installation, certificate: &Issued, clients: &Authority) -> Self {
        let files = Scratch::new();
        fs::write(files.join("clients.crt"), clients.pem()).unwrap();
        let (certificate, key) = certificate.write(files.path(), "server");
        let settings = [
            "ssl=on".to_owned(),
            format!("ssl_cert_file='{}'", certificate.display()),
            format!("ssl_key_file='{}'", key.display()),
            format!("ssl_ca_file='{}'", files.join("clients.crt").display()),
        ];
        Rig { server: start(installation, &settings), files }
    }

    /// Starts a server without TLS.
    fn without_tls(installation: Installation) -> Self {
        Rig { server: start(installation, &[]), files: Scratch::new() }
    }

    /// Writes a file for clients to read.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Completes a connection string; `@` stands for the directory of files.
    fn connection(&self, text: &str) -> String {
        let text = text.replace('@', &self.files.path().display().to_string());
        let host = if text.contains("host") { "" } else { "host=localhost" };
        format!("{host} port={} password=right {text}", self.server.port())
    }

    /// Signs in; an error has all lines.
    fn sign_in(&self, client: Client, text: &str) -> Result<(), String> {
        let target = Scratch::new();
        let client =
            client.args(["-S", "missing", "-c", "fast", "-w", "-d", &self.connection(text)]);
        let finished = client.into_directory(&target.join("target")).run();
        match finished.stderr.contains("replication slot \"missing\" does not exist") {
            true => Ok(()),
            false => Err(finished.stderr),
        }
    }

    /// Makes sure that we sign in, or not, as the original does, and say why not in its words.
    #[track_caller]
    fn both(&self, text: &str, signs_in: bool) -> String {
        let ours = self.sign_in(Client::drop_in(), text);
        let original = self.sign_in(Client::original(), text);
        assert_eq!(ours, original, "{text}");
        assert_eq!(ours.is_ok(), signs_in, "{text}: {ours:?}");
        ours.err().unwrap_or_default()
    }

    /// Makes sure that we refuse to sign in, with a reason.
    #[track_caller]
    fn refuses(&self, text: &str, reason: &str) {
        let error = self.sign_in(Client::drop_in(), text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}

fn start(installation: Installation, settings: &[String]) -> Server {
    let builder = Server::builder(installation).tcp().hba(HBA);
    let builder = settings.iter().fold(builder, |builder, line| builder.setting(line));
    let server = builder.start();
    for user in ["local", "anyhow", "tls", "plain", "client"] {
        server.sql(format!("CREATE ROLE {user} REPLICATION LOGIN"));
    }
    for (user, encryption) in [
        ("scram", "scram-sha-256"),
        ("plainscram", "scram-sha-256"),
        ("md5", "md5"),
        ("password", "scram-sha-256"),
    ] {
        server.sql(format!(
            "SET password_encryption = '{encryption}'; SET client_min_messages = error;
             CREATE ROLE {user} REPLICATION LOGIN PASSWORD 'right'"
        ));
    }
    server
}

fn each_mode_meets_each_server(installation: Installation) {
    let authority = Authority::root("authority");
    let with_tls = Rig::new(installation, &authority.server(), &authority);
    let without_tls = Rig::without_tls(installation);
    for rig in [&with_tls, &without_tls] {
        rig.file("root.crt", &authority.pem());
        rig.file("other.crt", &Authority::root("other").pem());
    }
    // The mode, then who signs in to the server with TLS, then if anyhow to the one without.
    let table = [
        ("disable", "anyhow plain", "anyhow"),
        ("allow", "anyhow plain tls", "anyhow"),
        ("prefer", "anyhow plain tls", "anyhow"),
        ("require", "anyhow tls", ""),
        ("verify-ca sslrootcert=@/root.crt", "anyhow tls", ""),
        ("verify-full sslrootcert=@/root.crt", "anyhow tls", ""),
        ("prefer sslrootcert=@/other.crt", "anyhow plain", "anyhow"),
        ("require sslrootcert=@/other.crt", "", ""),
        ("verify-ca sslrootcert=@/missing.crt", "", ""),
        ("verify-full", "", ""),
        ("require sslrootcert=@/missing.crt", "anyhow tls", ""),
    ];
    for (mode, with, without) in table {
        for user in ["anyhow", "plain", "tls", "nobody"] {
            let text = format!("user={user} sslmode={mode}");
            with_tls.both(&text, with.split(' ').any(|name| name == user));
        }
        let text = format!("user=anyhow sslmode={mode}");
        without_tls.both(&text, without == "anyhow");
    }
    // The original reads for ever.
    let endless = "user=tls sslmode=require sslrootcert=/dev/zero";
    let reason = "could not read root certificate file \"/dev/zero\": not a plain file";
    with_tls.refuses(endless, reason);
    with_tls.both("user=local host=@ sslmode=require", false);
    // Without a name, a certificate for the address is one for nobody.
    let full = "user=tls sslmode=verify-full sslrootcert=@/root.crt";
    let nameless = with_tls.both(&format!("{full} hostaddr=127.0.0.1"), false);
    assert!(nameless.contains("host name must be specified for a verified SSL connection"));
    with_tls.both(&format!("{full} host=localhost hostaddr=127.0.0.1"), true);
    with_tls.both(&format!("{full} host='' hostaddr=127.0.0.1"), false);
    let sockets = with_tls.server.sockets();
    let over_socket = format!("user=local sslmode=verify-full host={}", sockets.display());
    with_tls.both(&over_socket, true);
}

fn server_certificates_are_judged(installation: Installation) {
    let root = Authority::root("root");
    let between = root.intermediate("between");
    let chained = between.server();
    let mut with_chain = chained.clone();
    with_chain.certificate += &between.pem();
    let mut expired = certificate("localhost", &["localhost"]);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let mut early = certificate("localhost", &["localhost"]);
    early.not_before = rcgen::date_time_ymd(2099, 1, 1);
    let mut own_authority = certificate("localhost", &["localhost"]);
    own_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut for_clients = certificate("localhost", &["localhost"]);
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let alone_for_clients = self_signed(&for_clients);
    let mut for_anything = for_clients.clone();
    for_anything.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    let alone = self_signed(&certificate("localhost", &["localhost"]));
    let alone_authority = self_signed(&own_authority);
    let both = root.pem() + &between.pem();
    let table = [
        ("signed", root.server(), root.pem(), "verify-ca verify-full"),
        ("by another", Authority::root("another").server(), root.pem(), ""),
        ("other name", root.sign(certificate("a", &["b", "c"]), 1), root.pem(), "verify-ca"),
        (
            "common name",
            root.sign(certificate("localhost", &[]), 1),
            root.pem(),
            "verify-ca verify-full",
        ),
        ("other common name", root.sign(certificate("a", &[]), 1), root.pem(), "verify-ca"),
        ("expired", root.sign(expired, 1), root.pem(), ""),
        ("early", root.sign(early, 1), root.pem(), ""),
        ("chain sent", with_chain, root.pem(), "verify-ca verify-full"),
        ("chain kept", chained.clone(), both, "verify-ca verify-full"),
        ("chain broken", chained.clone(), root.pem(), ""),
        ("chain without end", chained, between.pem(), ""),
        ("self-signed", alone.clone(), alone.certificate, "verify-ca verify-full"),
        (
            "own authority",
            alone_authority.clone(),
            alone_authority.certificate,
            "verify-ca verify-full",
        ),
        ("signed authority", root.sign(own_authority, 1), root.pem(), "verify-ca verify-full"),
        ("version 1", root.sign_version_1("localhost"), root.pem(), "verify-ca verify-full"),
        ("for clients", root.sign(for_clients.clone(), 1), root.pem(), ""),
        ("for anything", root.sign(for_anything, 1), root.pem(), ""),
        ("self-signed for clients", alone_for_clients.clone(), alone_for_clients.certificate, ""),
    ];
    judge(installation, table);
}

fn server_certificates_need_issuers_that_may_sign(installation: Installation) {
    let root = Authority::root("root");
    let with = |is_ca: IsCa, usage: Option<KeyUsagePurpose>| {
        let mut parameters = authority("limited");
        parameters.is_ca = is_ca;
        parameters.key_usages = usage.into_iter().collect();
        parameters
    };
    let anybody = || IsCa::Ca(BasicConstraints::Unconstrained);
    let mut for_clients = authority("limited");
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let both = "verify-ca verify-full";
    let roots = [
        ("root that is none", with(IsCa::ExplicitNoCa, None), ""),
        ("root that does not say", with(IsCa::NoCa, None), ""),
        ("root by its key", with(IsCa::NoCa, Some(KeyUsagePurpose::KeyCertSign)), both),
        ("root for lists", with(anybody(), Some(KeyUsagePurpose::CrlSign)), ""),
        ("root for certificates", with(anybody(), Some(KeyUsagePurpose::KeyCertSign)), both),
        ("root for clients", for_clients.clone(), ""),
    ];
    let by_root = |(what, parameters, accepting): (&'static str, CertificateParams, _)| {
        let root = Authority::with(parameters);
        (what, root.server(), root.pem(), accepting)
    };
    let between = [
        ("another that is none", with(IsCa::ExplicitNoCa, None), ""),
        ("another by its key", with(IsCa::NoCa, Some(KeyUsagePurpose::KeyCertSign)), ""),
        ("another for lists", with(anybody(), Some(KeyUsagePurpose::CrlSign)), ""),
        ("another for certificates", with(anybody(), Some(KeyUsagePurpose::KeyCertSign)), both),
        ("another for clients", for_clients, ""),
    ];
    let by_another = |(what, parameters, accepting): (&'static str, CertificateParams, _)| {
        let between = root.intermediate_with(parameters);
        (what, between.server(), root.pem() + &between.pem(), accepting)
    };
    let last = Authority::with(with(IsCa::Ca(BasicConstraints::Constrained(0)), None));
    let between = between.map(by_another).into_iter();
    let beyond = last.intermediate("beyond");
    let beyond = ("too long", beyond.server(), last.pem() + &beyond.pem(), "");
    judge(installation, roots.map(by_root).into_iter().chain(between).chain([beyond]));
}

/// Tries the verifying modes: what the case is, the server's certificate, the trusted ones, and which
/// modes accept it.
fn judge<'a>(
    installation: Installation,
    table: impl IntoIterator<Item = (&'a str, Issued, String, &'a str)>,
) {
    let clients = Authority::root("clients");
    for (what, certificate, trusted, accepting) in table {
        let rig = Rig::new(installation, &certificate, &clients);
        rig.file("root.crt", &trusted);
        // Shown if the test fails.
        println!("{what}");
        for mode in ["verify-ca", "verify-full"] {
            let text = format!("user=tls sslmode={mode} sslrootcert=@/root.crt");
            rig.both(&text, accepting.split(' ').any(|name| name == mode));
        }
        rig.both("user=tls sslmode=require ssl_max_protocol_version=TLSv1.2", true);
    }
}

fn server_certificates_keep_within_name_constraints(installation: Installation) {
    let root = Authority::root("root");
    let within = |domain: &str| vec![GeneralSubtree::DnsName(domain.to_owned())];
    let mut parameters = authority("limited");
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: within("corp.example"),
        excluded_subtrees: within("secret.corp.example"),
    });
    let limited = root.intermediate_with(parameters);
    // The common name, the alternative names, the host.
    let table: [(&str, &[&str], &str, bool); 6] = [
        ("db.corp.example", &[], "db.corp.example", true),
        ("db.other.example", &[], "db.other.example", false),
        ("db.evilcorp.example", &[], "db.evilcorp.example", false),
        ("db.secret.corp.example", &[], "db.secret.corp.example", false),
        ("db.other.example", &["db.corp.example"], "db.corp.example", true),
        ("db.corp.example", &["db.other.example"], "db.other.example", false),
    ];
    for (common_name, names, host, is_accepted) in table {
        let certificate = limited.sign(certificate(common_name, names), 1);
        let rig = Rig::new(installation, &certificate, &root);
        rig.file("root.crt", &(root.pem() + &limited.pem()));
        for mode in ["verify-ca", "verify-full"] {
            let text = format!("user=tls sslmode={mode} sslrootcert=@/root.crt");
            rig.both(&format!("{text} hostaddr=127.0.0.1 host={host}"), is_accepted);
        }
    }
}

fn revoked_certificates_are_refused(installation: Installation) {
    let root = Authority::root("root");
    let revoked = root.server();
    let rig = Rig::new(installation, &revoked, &root);
    rig.file("root.crt", &root.pem());
    let directory = rig.files.directory("lists");
    let other = root.sign(certificate("other", &[]), 77);
    let table = [
        ("none.crl", root.revoke(&[], 2100), true),
        ("other.crl", root.revoke(&[&other], 2100), true),
        ("revoked.crl", root.revoke(&[&other, &revoked], 2100), false),
        ("old.crl", root.revoke(&[], 2022), false),
        ("foreign.crl", Authority::root("root").revoke(&[], 2100), false),
        ("stranger.crl", Authority::root("stranger").revoke(&[], 2100), false),
    ];
    for (name, list, is_accepted) in table {
        rig.file(name, &list);
        let mode = "user=tls sslmode=verify-full sslrootcert=@/root.crt";
        rig.both(&format!("{mode} sslcrl=@/{name}"), is_accepted);
        // Without roots nobody is verified, and so nobody is revoked.
        rig.both(&format!("user=tls sslmode=require sslcrl=@/{name}"), true);
    }
    let mode = "user=tls sslmode=verify-ca sslrootcert=@/root.crt";
    rig.both(&format!("{mode} sslcrl=@/missing.crl"), true);
    rig.both(&format!("{mode} sslcrldir=@/lists"), false);
    fs::write(directory.join("0badcafe.r0"), root.revoke(&[&revoked], 2100)).unwrap();
    rig.both(&format!("{mode} sslcrldir=@/lists"), false);
    let mut parameters = authority("root");
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let limited = root.with_same_key(parameters);
    let rig = Rig::new(installation, &limited.server(), &root);
    rig.file("root.crt", &limited.pem());
    rig.file("limited.crl", &root.revoke(&[], 2100));
    rig.both(mode, true);
    rig.both(&format!("{mode} sslcrl=@/limited.crl"), false);
    // The original goes on without a list that it cannot read.
    rig.file("garbage.crl", "garbage");
    rig.refuses(&format!("{mode} sslcrl=@/garbage.crl"), "no certificate or crl found");
}

fn client_certificates_are_shown(installation: Installation) {
    let authority = Authority::root("authority");
    let rig = Rig::new(installation, &authority.server(), &authority);
    let client = authority.sign(certificate("client", &[]), 9);
    client.write(rig.files.path(), "client");
    authority.sign(certificate("stranger", &[]), 10).write(rig.files.path(), "stranger");
    self_signed(&certificate("client", &[])).write(rig.files.path(), "unknown");
    let open = rig.file("open.key", &client.key);
    fs::set_permissions(open, fs::Permissions::from_mode(0o644)).unwrap();
    let encrypted = rig.file("encrypted.key", &encrypt(&client.key, b"hush"));
    fs::set_permissions(encrypted, fs::Permissions::from_mode(0o600)).unwrap();
    let empty = rig.file("empty.key", "");
    fs::set_permissions(empty, fs::Permissions::from_mode(0o600)).unwrap();
    let table = [
        ("user=client", false),
        ("user=client sslcert=@/client.crt sslkey=@/client.key", true),
        ("user=client sslcert=@/client.crt sslkey=@/client.key sslcertmode=require", true),
        ("user=client sslcert=@/client.crt sslkey=@/client.key sslcertmode=disable", false),
        ("user=client sslcert=@/stranger.crt sslkey=@/stranger.key", false),
        ("user=client sslcert=@/unknown.crt sslkey=@/unknown.key", false),
        ("user=tls sslcert=@/unknown.crt sslkey=@/unknown.key", false),
        (
            "user=client sslcert=@/unknown.crt sslkey=@/unknown.key ssl_max_protocol_version=TLSv1.2",
            false,
        ),
        ("user=tls sslcert=@/missing.crt sslkey=@/missing.key", true),
        ("user=tls sslcertmode=require", false),
        ("user=tls sslcert=@/client.crt", false),
        ("user=tls sslcert=@/client.crt sslkey=@/missing.key", false),
        ("user=tls sslcert=@/client.crt sslkey=@/open.key", false),
        ("user=tls sslcert=@/client.crt sslkey=@/stranger.key", false),
        ("user=tls sslcert=@/client.crt sslkey=@/empty.key", false),
        ("user=tls sslcert=@/client.crt sslkey=@", false),
        ("user=tls sslcert=@/empty.key sslkey=@/client.key", false),
        ("user=client sslcert=@/client.crt sslkey=@/encrypted.key sslpassword=hush", true),
        ("user=client sslcert=@/client.crt sslkey=@/encrypted.key sslpassword=loud", false),
    ];
    for (text, signs_in) in table {
        rig.both(&format!("sslmode=require {text}"), signs_in);
    }
    // What is wrong with our side is a reason to go on without TLS, where that is allowed.
    rig.both("sslmode=prefer user=plain sslcert=@/client.crt sslkey=@/open.key", true);
    rig.both("sslmode=disable user=plain sslcertmode=require", false);
    // The original asks for the password on the terminal, and reads the traditional format.
    let text = "sslmode=require user=client sslcert=@/client.crt sslkey=@/encrypted.key";
    rig.refuses(text, "the key is encrypted, and sslpassword is not set");
    let traditional = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
    let traditional = rig.file("traditional.key", traditional);
    fs::set_permissions(traditional, fs::Permissions::from_mode(0o600)).unwrap();
    let text = "sslmode=require user=client sslcert=@/client.crt sslkey=@/traditional.key";
    rig.refuses(text, "convert it with \"openssl pkcs8 -topk8\"");
}

/// Encrypts a key as OpenSSL does.
fn encrypt(key: &str, password: &[u8]) -> String {
    let key = x509_parser::pem::parse_x509_pem(key.as_bytes()).unwrap().1.contents;
    let key = pkcs8::PrivateKeyInfo::try_from(key.as_slice()).unwrap();
    let (salt, vector) = ([1; 16], [2; 16]);
    let scheme =
        pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(2048, &salt, &vector).unwrap();
    let encrypted = key.encrypt_with_params(scheme, password).unwrap();
    pem("ENCRYPTED PRIVATE KEY", encrypted.as_bytes())
}

fn scram_is_bound_to_the_session(installation: Installation) {
    let authority = Authority::root("authority");
    let rig = Rig::new(installation, &authority.server(), &authority);
    let table = [
        ("user=scram sslmode=require", true),
        ("user=scram sslmode=require channel_binding=require", true),
        ("user=scram sslmode=require channel_binding=disable", true),
        ("user=scram sslmode=require channel_binding=require password=wrong", false),
        ("user=scram sslmode=disable channel_binding=require", false),
        ("user=plainscram sslmode=disable channel_binding=prefer", true),
        ("user=plainscram sslmode=disable channel_binding=require", false),
        ("user=plainscram sslmode=prefer channel_binding=require", false),
        ("user=md5 channel_binding=require", false),
        ("user=password channel_binding=require", false),
        ("user=anyhow channel_binding=require", false),
    ];
    for (text, signs_in) in table {
        rig.both(text, signs_in);
    }
}

fn required_methods_are_required(installation: Installation) {
    let authority = Authority::root("authority");
    let rig = Rig::new(installation, &authority.server(), &authority);
    let table = [
        ("user=anyhow", "none !password,!md5", "scram-sha-256 !none password,md5"),
        ("user=md5", "md5 !password md5,none", "none scram-sha-256,password !md5 gss,sspi"),
        ("user=password", "password !md5,!none", "scram-sha-256 !password none"),
        (
            "user=scram sslmode=require",
            "scram-sha-256 !none scram-sha-256,none !password,!md5,!gss,!sspi",
            "md5 !scram-sha-256 oauth none password,md5,gss,sspi !scram-sha-256,!oauth",
        ),
        ("user=scram sslmode=require channel_binding=disable", "", "!scram-sha-256 oauth"),
    ];
    for (text, met, unmet) in table {
        for (requirements, signs_in) in [(met, true), (unmet, false)] {
            for requirement in requirements.split_whitespace() {
                rig.both(&format!("{text} require_auth={requirement}"), signs_in);
            }
        }
    }
}

fn the_servers_account_is_checked(installation: Installation) {
    let rig = Rig::without_tls(installation);
    let metadata = fs::metadata(rig.server.data()).unwrap();
    let owner = nix::unistd::User::from_uid(metadata.uid().into()).unwrap().unwrap().name;
    let text = format!("user=local host={}", rig.server.sockets().display());
    rig.both(&format!("{text} requirepeer={owner}"), true);
    rig.both(&format!("{text} requirepeer=somebody"), false);
    // Over TCP there is nothing to see.
    rig.both("user=anyhow requirepeer=somebody", true);
}

fn tls_begins_at_once_where_the_server_can(installation: Installation) {
    let authority = Authority::root("authority");
    let rig = Rig::new(installation, &authority.server(), &authority);
    rig.file("root.crt", &authority.pem());
    let can = installation.major >= 17;
    let text = "user=tls sslmode=require sslnegotiation=direct";
    rig.both(text, can);
    let text = "user=scram sslmode=verify-full sslrootcert=@/root.crt channel_binding=require";
    rig.both(&format!("{text} sslnegotiation=direct"), can);
}

fn versions_are_kept_within_the_limits(installation: Installation) {
    let authority = Authority::root("authority");
    let rig = Rig::new(installation, &authority.server(), &authority);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let limits =
            format!("ssl_min_protocol_version={version} ssl_max_protocol_version={version}");
        let log = rig.files.join(version);
        let text = format!("user=tls sslmode=require {limits} sslkeylogfile={}", log.display());
        rig.both(&text, true);
        let label =
            if version == "TLSv1.2" { "CLIENT_RANDOM " } else { "CLIENT_TRAFFIC_SECRET_0 " };
        assert!(fs::read_to_string(log).unwrap().contains(label));
    }
    rig.refuses(
        "user=tls sslmode=require ssl_min_protocol_version=TLSv1.1 ssl_max_protocol_version=TLSv1.1",
        "TLS versions before 1.2 are not supported",
    );
}

fn a_whole_backup_comes_over_tls(installation: Installation) {
    let authority = Authority::root("authority");
    let rig = Rig::new(installation, &authority.server(), &authority);
    rig.file("root.crt", &authority.pem());
    let target = Scratch::new();
    let text = "user=scram sslmode=verify-full sslrootcert=@/root.crt channel_binding=require";
    let client = Client::pgsiphon().args(["-X", "stream", "-c", "fast", "-w"]);
    let client = client.args(["-d", &rig.connection(text)]);
    client.into_directory(&target.join("backup")).run().succeeded();
    verify(installation, &target.join("backup"), Wal::Included);
}
