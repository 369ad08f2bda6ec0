//! Whatever stands in a file, lint answers.

use crate::cluster::in_repository;
use crate::lint::linted;
use jiff::Timestamp;
use mail_operator::cli::Format;
use mail_operator::cli::lint::{Options, Report, Severity, Source, read};
use proptest::prelude::*;

fn judge(bytes: Vec<u8>) -> Report {
    let options = Options {
        namespace: "default".into(),
        operator_namespace: "mail-operator".into(),
        strict_references: true,
        warnings_are_errors: false,
        severity: Severity::Note,
        now: Timestamp::from_second(1_800_000_000).unwrap(),
    };
    let source = Source { name: "file.yaml".into(), bytes, found: false };
    linted(vec![source], options)
}

/// Examples and wrong manifests.
fn manifests() -> Vec<Vec<u8>> {
    let sources = read(&[in_repository("examples"), in_repository("tests/lint")]).unwrap();
    sources.files.into_iter().map(|source| source.bytes).collect()
}

/// What hits weak points of readers.
const PIECES: [&str; 24] = [
    "\n", "  ", "- ", ": ", "{", "}", "[", "]", "'", "\"", "&a ", "*a", "<<: ", "|\n", ">-\n", "---\n", "\t",
    "{{ ", "é", "\u{0}", "!!str ", "yes", "null", "\r\n",
];

#[derive(Debug, Clone)]
enum Change {
    Cut(usize, usize),
    Insert(usize, usize),
    Copy(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 0..80_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        (any::<usize>(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (any::<usize>(), any::<usize>(), 0..80_usize)
            .prop_map(|(from, to, length)| Change::Copy(from, to, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let at = |wanted: usize, bytes: &[u8]| wanted % (bytes.len() + 1);
    match *change {
        Change::Cut(from, length) => {
            let from = at(from, bytes);
            let to = (from + length).min(bytes.len());
            bytes.drain(from..to);
        }
        Change::Insert(to, piece) => {
            let to = at(to, bytes);
            bytes.splice(to..to, PIECES.get(piece).unwrap().bytes());
        }
        Change::Copy(from, to, length) => {
            let from = at(from, bytes);
            let copy: Vec<u8> = bytes.iter().skip(from).take(length).copied().collect();
            let to = at(to, bytes);
            bytes.splice(to..to, copy);
        }
    }
}

fn answers(bytes: Vec<u8>) {
    let report = judge(bytes);
    for format in [None, Some(Format::Json), Some(Format::Sarif), Some(Format::Github)] {
        report.write(format);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn never_panics_on_changed_manifests(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec(change(), 1..8),
    ) {
        let all = manifests();
        let mut bytes = which.get(&all).clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        answers(bytes);
    }

    #[test]
    fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        answers(bytes);
    }
}

#[test]
fn files_made_to_do_harm() {
    let bomb = (0..12).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        format!("{text}a{}: &a{} [{}]\n", n + 1, n + 1, vec![format!("*a{n}"); 9].join(","))
    });
    for text in [
        bomb,
        "[".repeat(50_000),
        "{a: ".repeat(50_000),
        "- ".repeat(50_000),
        "a: &a [*a]\n".into(),
        "? [a]\n: b\n".into(),
        format!("a: {}\n", "x".repeat(1_000_000)),
        "<<: [*a, {b: c}]\n".into(),
        "\u{feff}kind: x\n".into(),
    ] {
        answers(text.into_bytes());
    }
}
