//! Some hundred messages of everything are read by Python's email package: what it finds is what went in.

#[path = "../../src/domain/message/anything.rs"]
#[allow(clippy::pedantic, unreachable_pub, reason = "compiled for the unit tests as well")]
mod anything;

// What `anything` is made of.
use mail_operator::api::notification::HeaderField;
use mail_operator::domain::address::{EmailAddress, Mailbox};
use mail_operator::domain::content::Rendered;
use mail_operator::domain::message::{Additions, Attachment, OwnFields, Parts, build, link};

use crate::cluster::in_repository;
use anything::{File, Sample};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::process::Command;

/// Debian's Python, whose version is known.
const PYTHON: &str = "/usr/bin/python3";
const MESSAGES: usize = 200;

fn samples() -> Vec<Sample> {
    let config = Config { max_local_rejects: 1_000_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = anything::anything();
    (0..MESSAGES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn addresses(of: &[Mailbox]) -> Value {
    let one = |one: &Mailbox| json!([one.display_name().unwrap_or_default(), one.address().as_str()]);
    unspaced(&of.iter().map(one).collect())
}

/// Python leaves the spaces between the encoded words of a name, against RFC 2047, 6.2; the parser of the unit tests
/// does not.
fn unspaced(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text.split_whitespace().collect::<String>()),
        Value::Array(items) => items.iter().map(unspaced).collect(),
        other => other.clone(),
    }
}

/// Python makes one space of several in header fields (which RFC 5322, 3.2.2, lets it), and takes the separators that
/// Unicode knows for spaces.
fn squeezed(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Value::Array(items) => items.iter().map(squeezed).collect(),
        other => other.clone(),
    }
}

fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

#[test]
fn pythons_email_package_reads_what_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples();
    for (index, sample) in samples.iter().enumerate() {
        let message = build(&sample.parts());
        std::fs::write(folder.path().join(format!("{index:04}.eml")), &message.bytes).unwrap();
    }
    let output = Command::new(PYTHON)
        .arg(in_repository("tests/it/mime/read.py"))
        .arg(folder.path())
        .output()
        .unwrap_or_else(|error| panic!("{PYTHON}: {error}; apt-get install --no-install-recommends python3"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found.len(), samples.len());
    let mut wrong = Vec::new();
    for (index, (sample, found)) in samples.iter().zip(&found).enumerate() {
        let mut same = |what: &str, found: Value, expected: Value| {
            if found != expected {
                wrong.push(format!("message {index}, {what}:\n  found    {found}\n  expected {expected}"));
            }
        };
        fields(sample, found, &mut same);
        bodies(sample, found, &mut same);
    }
    assert!(
        wrong.is_empty(),
        "{} differences\n{}",
        wrong.len(),
        wrong.get(..20).unwrap_or(&wrong).join("\n")
    );
}

fn fields(sample: &Sample, found: &Value, same: &mut impl FnMut(&str, Value, Value)) {
    same("From", unspaced(&found["from"]), addresses(std::slice::from_ref(&sample.from)));
    same("To", unspaced(&found["to"]), addresses(&sample.to));
    same("Cc", unspaced(&found["cc"]), addresses(&sample.cc));
    let reply_to: Vec<_> = sample.reply_to.iter().cloned().map(Mailbox::from).collect();
    same("Reply-To", unspaced(&found["replyTo"]), addresses(&reply_to));
    same("Subject", squeezed(&found["subject"]), squeezed(&json!(sample.content.subject())));
    for (name, value) in &sample.fields {
        let all = found["headers"].as_array().unwrap();
        let values: Vec<_> =
            all.iter().filter(|header| header[0] == **name).map(|header| &header[1]).collect();
        same(name, squeezed(&json!(values)), squeezed(&json!([value])));
    }
    same("defects", found["defects"].clone(), json!([]));
}

fn bodies(sample: &Sample, found: &Value, same: &mut impl FnMut(&str, Value, Value)) {
    for (kind, text) in [("plain", sample.linked.text()), ("html", sample.linked.html())] {
        same(kind, json!(found[kind].as_str().map(lines)), json!(text.map(lines)));
    }
    let id = |name: &str| {
        let part = sample.additions.attachments.iter().find(|file| file.name() == name)?;
        let html = sample.linked.html().filter(|_| part.inline())?;
        // Where the HTML names the file, in the order of the files.
        let before = sample.files.iter().filter(|file| file.inline && *file.name < *name).count();
        let named = html.rsplit("<p>").next()?.split("<img src=\"cid:").nth(before + 1)?.split('"').next()?;
        Some(format!("<{named}>"))
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    // Images come first, since they are in the inner part.
    let (images, others): (Vec<_>, Vec<_>) = sample.files.iter().partition(|file: &&File| file.inline);
    let expected: Vec<_> = images.iter().chain(&others).collect();
    let all = found["files"].as_array().unwrap();
    same("number of files", json!(all.len()), json!(expected.len()));
    for (file, found) in expected.iter().zip(all) {
        same("file name", squeezed(&found["name"]), squeezed(&json!(file.name)));
        let kind = if file.inline { "inline" } else { "attachment" };
        same("disposition", found["disposition"].clone(), json!(kind));
        same("file", found["bytes"].clone(), json!(hex(&file.bytes)));
        same("Content-ID", found["id"].clone(), json!(id(&file.name)));
    }
    let levels = [
        (!others.is_empty(), "multipart/mixed"),
        (!images.is_empty(), "multipart/related"),
        (sample.linked.html().is_some(), "multipart/alternative"),
    ];
    let structure: Vec<_> =
        levels.into_iter().filter_map(|(needed, level)| needed.then_some(level)).collect();
    same("structure", found["structure"].clone(), json!(structure));
}
