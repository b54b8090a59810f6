use super::*;
use crate::protocol::poll_frame;

const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const GSS: &[u8] = b"R\0\0\0\x08\0\0\0\x07";
const GSS_CONTINUE: &[u8] = b"R\0\0\0\x0a\0\0\0\x08ab";

fn startup() -> Startup {
    let parameters = [("user".to_owned(), "u".to_owned())];
    Startup::begin(&parameters, None, AuthPolicy::default(), &mut BytesMut::new()).expect("started")
}

/// Hands over a frame; returns the error's text.
fn handle(startup: &mut Startup, frame: &[u8]) -> Result<Option<Session>, String> {
    let frame = poll_frame(&mut BytesMut::from(frame)).expect("a frame").expect("whole");
    startup.handle_frame(frame, &mut BytesMut::new()).map_err(|error| error.to_string())
}

/// Answers for GSSAPI and returns what is sent.
fn answer(startup: &mut Startup, token: &[u8], is_complete: bool) -> Vec<u8> {
    let mut out = BytesMut::new();
    let answer = GssAnswer { token: token.to_vec(), is_complete };
    startup.handle_gss_answer(&answer, &mut out).expect("written");
    out.to_vec()
}

#[test]
fn gssapi_tokens_pass_in_both_directions_until_both_sides_are_proven() {
    let mut startup = startup();
    assert_eq!(startup.poll_gss_request(), None);
    assert_eq!(handle(&mut startup, GSS), Ok(None));
    assert_eq!(startup.poll_gss_request(), Some(GssRequest { token: None }));
    assert_eq!(startup.poll_gss_request(), None);
    assert_eq!(answer(&mut startup, b"xyz", false), b"p\0\0\0\x07xyz");
    assert_eq!(handle(&mut startup, GSS_CONTINUE), Ok(None));
    let token = Some(Bytes::from_static(b"ab"));
    assert_eq!(startup.poll_gss_request(), Some(GssRequest { token }));
    assert_eq!(answer(&mut startup, b"", true), b"");
    assert_eq!(handle(&mut startup, OK), Ok(None));
}

#[test]
fn gssapi_out_of_turn_is_refused() {
    let unexpected = "unexpected message of type \"R\" while waiting for authentication";
    let duplicate = "duplicate GSS authentication request";
    // Whether GSSAPI has answered and is complete, and what the server says then.
    let table = [
        (None, OK, unexpected),
        (None, GSS_CONTINUE, unexpected),
        (None, GSS, duplicate),
        (Some(false), OK, unexpected),
        (Some(false), GSS, duplicate),
        (Some(true), GSS_CONTINUE, unexpected),
    ];
    for (said, frame, error) in table {
        let mut startup = startup();
        assert_eq!(handle(&mut startup, GSS), Ok(None));
        if let Some(is_complete) = said {
            startup.poll_gss_request().expect("a request");
            answer(&mut startup, b"x", is_complete);
        }
        assert_eq!(handle(&mut startup, frame), Err(error.to_owned()), "{said:?} {frame:?}");
    }
    let continued = handle(&mut startup(), GSS_CONTINUE);
    assert_eq!(continued, Err(unexpected.to_owned()));
}

#[test]
fn scram_counts_outside_the_limits_are_refused() {
    let invalid = "malformed SCRAM message (invalid iteration count)";
    let too_high = "could not complete SCRAM authentication: \
                    SCRAM iteration count exceeds the maximum allowed";
    let table = [
        ("4096", Ok(())),
        ("0", Err(invalid)),
        ("x", Err(invalid)),
        ("4294967296", Err(invalid)),
        ("100001", Err(too_high)),
    ];
    for (count, expected) in table {
        let parameters = [("user".to_owned(), "u".to_owned())];
        let mut out = BytesMut::new();
        let policy = AuthPolicy::default();
        let mut startup =
            Startup::begin(&parameters, Some(b"p"), policy, &mut out).expect("started");
        out.clear();
        let said = |out: &[u8]| String::from_utf8_lossy(out).into_owned();
        let mut handle = |code: u8, text: &str, out: &mut BytesMut| {
            let size = u8::try_from(8 + text.len()).expect("short");
            let head = [b'R', 0, 0, 0, size, 0, 0, 0, code];
            let frame = [&head[..], text.as_bytes()].concat();
            let frame = poll_frame(&mut BytesMut::from(&frame[..])).expect("a frame");
            startup.handle_frame(frame.expect("whole"), out).map_err(|error| error.to_string())
        };
        assert_eq!(handle(10, "SCRAM-SHA-256\0\0", &mut out), Ok(None));
        let first = said(&out);
        let (_, nonce) = first.split_once(",r=").expect("a nonce");
        let challenge = format!("r={nonce}x,s=c2FsdA==,i={count}");
        let answer = handle(11, &challenge, &mut out).map(|_| ());
        assert_eq!(answer, expected.map_err(str::to_owned), "{count}");
    }
}
