//! What can be seen from outside of Kerberos tokens.

/// The start of a wrap token of RFC 4121 (`TOK_ID`).
const WRAP_TOKEN: [u8; 2] = [0x05, 0x04];

/// The bit of an RFC 4121 token's third byte that says that it is encrypted.
const SEALED: u8 = 0x02;

/// The Kerberos mechanism, as it stands in front of the older tokens of RFC 1964.
const KERBEROS: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// Where the mechanism of an RFC 1964 token is at most: behind a tag and up to five bytes of length.
const KERBEROS_OFFSET_MAX: usize = 6;

/// Says whether a wrap token is encrypted and not only signed.
///
/// ```text
/// RFC 4121   05 04  flags ff ...                       flags & 02
/// RFC 1964   60 length mechanism  02 01  SS SS  EE EE  EE EE, the algorithm, is not ff ff
/// ```
pub(super) fn is_sealed(token: &[u8]) -> bool {
    if let Some(rest) = token.strip_prefix(&WRAP_TOKEN) {
        return rest.first().is_some_and(|flags| flags & SEALED != 0);
    }
    let mut starts = 0..=KERBEROS_OFFSET_MAX;
    let inner = starts.find_map(|start| token.get(start..)?.strip_prefix(&KERBEROS));
    let algorithm = inner.and_then(|inner| inner.strip_prefix(&[0x02, 0x01])?.get(2..4));
    algorithm.is_some_and(|algorithm| algorithm != [0xff, 0xff])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_tokens_count_as_sealed() {
        let old = |algorithm: &[u8]| {
            [&[0x60, 0x81, 0x90], &KERBEROS[..], &[2, 1, 0x11, 0], algorithm].concat()
        };
        let table = [
            (vec![5, 4, 2, 0xff, 0, 0], true),
            (vec![5, 4, 7, 0xff, 0, 0], true),
            (vec![5, 4, 5, 0xff, 0, 0], false),
            (vec![5, 4], false),
            (vec![4, 4, 2, 0xff], false),
            (vec![], false),
            (old(&[0x10, 0, 0xff, 0xff]), true),
            (old(&[0xff, 0xff, 0xff, 0xff]), false),
            (old(&[0x10]), false),
        ];
        for (token, sealed) in table {
            assert_eq!(is_sealed(&token), sealed, "{token:02x?}");
        }
    }
}
