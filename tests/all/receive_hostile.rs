//! Receivers before servers that lie: nothing of it is acknowledged, nothing is written elsewhere, and one line says what
//! is wrong.

use std::fs;
use std::path::PathBuf;

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use crate::fake_server::Fault;
use crate::fake_server::run::for_each;
use crate::fake_server::synthetic::{ready, result_set};
use crate::hostile_wal::{
    Encounter, MESSAGE_SIZE, Material, PAGE_SIZE, SEGMENT_SIZE, begin, data, question, row,
    timeline_end,
};
use crate::recording::wire::{frame, frames};
use crate::support::acknowledged::wait_until_said;
use crate::support::installation::Installation;
use crate::support::scratch::{Scratch, names};
use crate::support::wait_until;

on_servers!(messages_out_of_order_are_refused: pg18);
on_servers!(impossible_next_timelines_are_refused: pg18);
on_servers!(hostile_history_files_are_refused: pg18);
on_servers!(another_server_behind_the_same_address_is_noticed: pg18);
on_servers!(another_history_of_a_stored_segment_is_refused: pg18);

fn messages_out_of_order_are_refused(installation: Installation) {
    let material = Material::from_server(installation);
    let page = |index: usize| &material.wal[index * PAGE_SIZE..(index + 1) * PAGE_SIZE];
    let at = |index: usize| material.at(index * PAGE_SIZE);
    let before = Lsn::new(material.start.offset() - PAGE_SIZE as u64);
    let end_of_space = Lsn::new(u64::MAX - 8191);
    let position = "got WAL data at ";
    // Behind one sound page.
    let cases: [(&str, Vec<u8>, &str); 13] = [
        ("gap", data(at(2), page(2)), position),
        ("overlap", data(at(0), &material.wal[..2 * PAGE_SIZE]), position),
        ("empty elsewhere", data(at(7), b""), position),
        ("earlier", data(before, page(0)), position),
        ("end of the address space", data(end_of_space, page(0)), position),
        ("short header", frame(b'd', b"w12345678"), "streaming header too small: 9"),
        ("short keepalive", frame(b'd', b"k12345678"), "streaming header too small: 9"),
        ("empty message", frame(b'd', b""), "streaming header too small: 0"),
        ("unknown kind", frame(b'd', b"x"), "unrecognized streaming header: \"x\""),
        ("unknown message", frame(b'x', b"what"), ""),
        ("a second beginning", begin(), ""),
        ("length below itself", b"d\0\0\0\x03".to_vec(), ""),
        ("huge length", b"d\x7F\xFF\xFF\xFFw".to_vec(), ""),
    ];
    for_each(&cases, |(what, hostile, words)| {
        let answer = [&begin(), &data(at(0), page(0))[..], hostile, &question()].concat();
        let encounter = Encounter::of(material.session("1", answer), &["-n"]);
        encounter.assert_refused(what, words, at(1));
    });
    let cases = [("later", at(1), 1), ("earlier", before, 0), ("nowhere", Lsn::INVALID, 0)];
    for_each(&cases, |(what, start, index)| {
        let answer = [begin(), data(*start, page(*index)), question()].concat();
        let encounter = Encounter::of(material.session("1", answer), &["-n"]);
        encounter.assert_refused(what, position, at(0));
    });
}

fn impossible_next_timelines_are_refused(installation: Installation) {
    let material = Material::from_server(installation);
    let here = material.at(MESSAGE_SIZE).to_string();
    let here = Some(here.as_str());
    let cases: [(&str, &[Option<&str>], &str); 9] = [
        ("the same", &[Some("2"), here], "server reported unexpected next timeline 2"),
        ("backwards", &[Some("1"), here], "server reported unexpected next timeline 1"),
        ("ahead", &[Some("3"), Some("F/0")], "but reported next timeline 3 to begin at F/0"),
        ("zero", &[Some("0"), here], ""),
        ("negative", &[Some("-1"), here], ""),
        ("too large", &[Some("4294967296"), here], ""),
        ("no number", &[Some("three"), here], ""),
        ("no position", &[Some("3"), Some("here")], ""),
        ("nothing", &[None, None], ""),
    ];
    let history = row(&[Some("00000002.history"), Some("1\t0/100\tno reason\n")]);
    for_each(&cases, |(what, next, words)| {
        let answer = [material.sound(MESSAGE_SIZE), timeline_end(next)].concat();
        let mut session = material.session("2", answer);
        session.replace("TIMELINE_HISTORY", history.clone());
        session.ends_stream = true;
        // The WAL is of the first timeline, as it may be behind the beginning of another one.
        let encounter = Encounter::of(session, &["-n"]);
        encounter.assert_refused(what, words, material.at(MESSAGE_SIZE));
    });
}

fn hostile_history_files_are_refused(installation: Installation) {
    let material = Material::from_server(installation);
    let outside = "/tmp/pgsiphon-hostile-history";
    let named = |name| row(&[Some(name), Some("1\t0/100\tno reason\n")]);
    let huge = 1_u32 << 30;
    // A row with one column that claims to be huge, in a message of this size.
    let lying = |size: u32| {
        let fields = [&[0, 2][..], &4_u32.to_be_bytes(), b"name", &huge.to_be_bytes(), b"short"];
        let answer = result_set(&[vec![Some("name"), Some("contents")]]);
        let description = frames(&answer)[0];
        let end = [frame(b'C', b"TIMELINE_HISTORY\0"), ready()].concat();
        [description, b"D", &size.to_be_bytes(), &fields.concat(), &end].concat()
    };
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("climbing", named("../00000002.history"), "unexpected history file name"),
        ("climbing far", named("../../../../../../tmp/x"), "unexpected history file name"),
        ("absolute", named(outside), "unexpected history file name"),
        ("of another timeline", named("00000003.history"), "unexpected history file name"),
        ("without a name", row(&[None, Some("x")]), ""),
        ("huge column", lying(4 + 2 + 4 + 4 + 4 + 5), ""),
        ("huge message", lying(huge), ""),
    ];
    for_each(&cases, |(what, history, words)| {
        let mut session = material.session("2", material.sound(MESSAGE_SIZE));
        session.replace("TIMELINE_HISTORY", history.clone());
        let encounter = Encounter::of(session, &["-n"]);
        encounter.assert_refused(what, words, Lsn::INVALID);
    });
    assert!(!PathBuf::from(outside).exists());
}

fn another_server_behind_the_same_address_is_noticed(installation: Installation) {
    let material = Material::from_server(installation);
    let other = Material { system: "7000000000000000001".to_owned(), ..material.clone() };
    let answer = [material.sound(4 * MESSAGE_SIZE), question()].concat();
    let sessions = vec![material.session("1", answer.clone()), other.session("1", answer)];
    let scratch = Scratch::new();
    scratch.directory("received");
    let fault = Fault::BreaksAt { connection: 0, position: 2 * MESSAGE_SIZE };
    let mut encounter = Encounter::in_directory(scratch, sessions, fault, &[]);
    let words = format!("expected {}, got {}", material.system, other.system);
    wait_until_said(&mut encounter.running, &words);
    assert!(encounter.server.acknowledged() <= material.at(2 * MESSAGE_SIZE));
}

fn another_history_of_a_stored_segment_is_refused(installation: Installation) {
    let [first, other] = [(); 2].map(|()| Material::from_server(installation));
    assert_eq!((&first.system, first.start), (&other.system, other.start));
    let answer = [first.sound(4 * MESSAGE_SIZE), question()].concat();
    let Encounter { server, running, scratch } = Encounter::of(first.session("1", answer), &[]);
    // The last record is not complete.
    wait_until("the first history", || server.acknowledged() > first.at(3 * MESSAGE_SIZE));
    running.signal(Signal::KILL);
    running.wait();
    let acknowledged =
        usize::try_from(server.acknowledged().checked_sub(first.start).unwrap()).unwrap();
    let pairs = first.wal.iter().zip(&other.wal);
    let same = pairs.take_while(|(left, right)| left == right).count();
    let answer = [other.sound(SEGMENT_SIZE), question()].concat();
    let sessions = vec![other.session("1", answer)];
    let encounter = Encounter::in_directory(scratch, sessions, Fault::None, &["-n"]);
    let words = "differs from what is in file ";
    let scratch = encounter.assert_refused("another history", words, first.at(same));
    let received = scratch.join("received");
    let partial = names(&received).into_iter().find(|name| name.ends_with(".partial")).unwrap();
    let kept = fs::read(received.join(partial)).unwrap();
    assert!(kept[..acknowledged] == first.wal[..acknowledged]);
}
