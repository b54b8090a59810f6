//! Any log in any pieces.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn random_bytes_are_damage_in_any_pieces(
        bytes in vec(any::<u8>(), 40..20_000),
        sizes in vec(0_usize..9000, 0..20),
    ) {
        let whole = read(origin(START), &bytes, []);
        prop_assert!(whole.damage.is_some());
        prop_assert_eq!(read(origin(START), &bytes, sizes), whole);
    }

    #[test]
    fn random_records_are_found_in_any_pieces(
        records in vec((0_u8..=21, any::<u8>(), vec(any::<u8>(), 0..300), 1_usize..90), 1..30),
        sizes in vec(0_usize..20_000, 0..200),
    ) {
        let mut log = WalBuilder::new();
        let is_switch = |manager, info: u8| manager == SWITCH.0 && info & 0xF0 == SWITCH.1;
        let starts: Vec<_> = records
            .iter()
            .filter(|(manager, info, ..)| !is_switch(*manager, *info))
            .map(|(manager, info, body, times)| log.record(*manager, *info, &body.repeat(*times)))
            .collect();
        let outcome = read(origin(START), &log.bytes, sizes);
        prop_assert_eq!(outcome.starts(), starts);
        prop_assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
    }

    #[test]
    fn damaged_log_is_the_same_in_any_pieces(
        lengths in vec(0_usize..9000, 1..10),
        patches in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        sizes in vec(0_usize..9000, 0..20),
    ) {
        let mut log = WalBuilder::new();
        for length in lengths {
            log.record(XACT, 0, &vec![255; length]);
        }
        for (index, byte) in patches {
            let index = index.index(log.bytes.len());
            log.bytes[index] = byte;
        }
        let whole = read(origin(START), &log.bytes, []);
        prop_assert_eq!(read(origin(START), &log.bytes, sizes), whole);
    }
}
