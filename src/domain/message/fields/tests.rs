//! Which header fields people may write, and how lines come out.
#![allow(clippy::unwrap_used)]

use super::*;

fn own(fields: &[(&str, &str)]) -> Result<String, String> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| HeaderField { name: (*name).into(), value: (*value).into() })
        .collect();
    let own =
        OwnFields::new(&fields, false).map_err(|problems| crate::domain::problem::summary(&problems))?;
    let mut out = String::new();
    own.write(&mut out);
    Ok(out)
}

#[test]
fn fields_that_can_be_written() {
    for (name, value, expected) in [
        ("X-Ticket", " 7 ", "X-Ticket: 7\r\n"),
        ("X-Ticket", "Größe", "X-Ticket: =?utf-8?b?R3LDtsOfZQ==?=\r\n"),
        ("X-Ticket", "=?utf-8?q?x?=", "X-Ticket: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?=\r\n"),
        ("X-Ticket", "a  b", "X-Ticket: a  b\r\n"),
        ("List-Id", "Büro-free <it.corp.example>", ""),
        ("List-Id", "IT news <it.corp.example>", "List-Id: IT news <it.corp.example>\r\n"),
        ("List-Unsubscribe", "<mailto:u@corp.example>", "List-Unsubscribe: <mailto:u@corp.example>\r\n"),
        ("auto-submitted", "auto-replied", "auto-submitted: auto-replied\r\n"),
        ("References", "<a@b.example> <c@d.example>", "References: <a@b.example> <c@d.example>\r\n"),
        ("Importance", "high", "Importance: high\r\n"),
    ] {
        let written = own(&[(name, value)]);
        assert_eq!(written.as_deref().unwrap_or_default(), expected, "{name}: {value}: {written:?}");
    }
    let twice = own(&[("X-Ticket", "1"), ("x-ticket", "2")]).unwrap();
    assert_eq!(twice, "X-Ticket: 1\r\nx-ticket: 2\r\n");
}

#[test]
fn fields_that_cannot_be_written_say_why() {
    let long = "x".repeat(998);
    for (fields, words) in [
        (&[("Subject", "x")] as &[(&str, &str)], "must be X-…"),
        (&[("X-", "x")], "must be X-…"),
        (&[("X-A:B", "x")], "must be X-…"),
        (&[("X-A\r\nBcc", "x")], "must be X-…"),
        (&[("X-A", " ")], "is empty"),
        (&[("X-A", "a\r\nBcc: b@c.example")], "U+000D"),
        (&[("List-Id", "Büro <it.corp.example>")], "holds 'ü', but only ASCII"),
        (&[("List-Id", long.as_str())], "without a space"),
        (&[("Precedence", "bulk"), ("precedence", "list")], "stands here twice"),
        (&[("X-Auto-Response-Suppress", "None"), ("X-Auto-Response-Suppress", "All")], "stands here twice"),
        (&[("References", "ticket-7")], "angle brackets"),
        (&[("In-Reply-To", "<a@b.example>x")], "angle brackets"),
        (&[("List-Unsubscribe", "https://corp.example")], "must be <https://…>"),
        (&[("List-Unsubscribe", "<http://corp.example>")], "must be <https://…>"),
        (&[("List-Unsubscribe", "<mailto:nobody>")], "must be <https://…>"),
        (&[("List-Unsubscribe", "<https://a.example> <https://b.example>")], "must be <https://…>"),
        (&[("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")], "needs List-Unsubscribe with an https"),
        (
            &[
                ("List-Unsubscribe", "<mailto:u@corp.example>"),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ],
            "needs List-Unsubscribe with an https",
        ),
        (
            &[("List-Unsubscribe", "<https://corp.example>"), ("List-Unsubscribe-Post", "yes")],
            "must be List-Unsubscribe=One-Click",
        ),
    ] {
        let problem = own(fields).unwrap_err();
        assert!(problem.starts_with("message.headers[") && problem.contains(words), "{words:?}: {problem}");
    }
    let both = own(&[("Subject", "x"), ("References", "x")]).unwrap_err();
    assert!(both.contains("headers[Subject]") && both.contains("headers[References]"), "{both}");
}

#[test]
fn long_values_are_folded() {
    let words = vec!["<0123456789@corp.example>"; 40].join(" ");
    let references = own(&[("References", &words)]).unwrap();
    assert!(references.split("\r\n").all(|line| line.len() <= LINE), "{references}");
    assert_eq!(references.replace("\r\n", "").trim_start_matches("References: "), words);
    let name = format!("X-{}", "a".repeat(74));
    for value in ["x".repeat(997), "é".repeat(998), "x".repeat(998)] {
        let written = own(&[(&name, &value)]).unwrap();
        assert!(written.split("\r\n").all(|line| line.len() <= LONGEST), "{written}");
    }
}

#[test]
fn names_of_files() {
    for (name, expected) in [
        ("a.pdf", "filename=\"a.pdf\""),
        ("a \"b\".pdf", "filename=\"a \\\"b\\\".pdf\""),
        ("Größe.pdf", "filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf"),
        ("=?utf-8?q?x?=.pdf", "filename*=utf-8''%3D%3Futf-8%3Fq%3Fx%3F%3D.pdf"),
    ] {
        let line = line(disposition("attachment", name));
        assert_eq!(line, format!("Content-Disposition: attachment;\r\n {expected}\r\n"));
    }
    let long = line(disposition("attachment", &"日".repeat(100)));
    assert!(long.split("\r\n").all(|line| line.len() <= LINE), "{long}");
    assert!(long.contains(" filename*0*=utf-8''%E6") && long.contains(";\r\n filename*1*=%E6"), "{long}");
}
