//! Messages as people and attackers write them, for property tests: every script, long names, many recipients, files of any
//! name. Compiled into the unit tests, which read them back by one parser, and into the integration tests, which do so by
//! another; therefore only what `super` has is used.

use super::{Additions, Attachment, EmailAddress, HeaderField, Mailbox, OwnFields, Parts, Rendered, link};
use proptest::prelude::*;
use zeroize::Zeroizing;

/// What went in.
#[derive(Debug, Clone)]
pub struct Sample {
    pub from: Mailbox,
    pub reply_to: Option<EmailAddress>,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    /// As it was before inline images got their Content-IDs.
    pub content: Rendered,
    pub linked: Rendered,
    pub fields: Vec<(String, String)>,
    pub files: Vec<File>,
    pub additions: Additions,
    pub uid: String,
}

#[derive(Debug, Clone)]
pub struct File {
    pub name: String,
    pub bytes: Vec<u8>,
    pub inline: bool,
}

impl Sample {
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            from: &self.from,
            reply_to: self.reply_to.as_ref(),
            to: &self.to,
            cc: &self.cc,
            copy_of: None,
            content: &self.linked,
            additions: &self.additions,
            date: jiff::Timestamp::from_second(1_800_000_000).unwrap(),
            uid: &self.uid,
        }
    }
}

/// One line of text of any script, with what means something in headers.
pub fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,60}",
        "[A-Za-z]{1,12}( [A-Za-z0-9,.;:-]{1,12}){0,20}",
        "\\PC{1,40}",
        "[а-яё]{1,12}( [а-яё]{1,14}){0,12}",
        "[一-龥ぁ-ん]{1,60}",
        "[א-ת ]{1,40}",
        "[\u{1f600}-\u{1f64f}\u{1f468}\u{200d}é́ ]{1,30}",
        "[\"\\\\(),<>@=?_ a-zß]{1,40}",
        "(=\\?utf-8\\?[bq]\\?[A-Za-z0-9_=]{0,12}\\?= ?){1,3}",
        "[a-zA-Z0-9]{60,128}",
    ]
}

fn address() -> impl Strategy<Value = String> {
    let local = prop_oneof![
        5 => "[a-z][a-z0-9!#$%&'*+/^_`{|}~-]{0,30}(\\.[a-z0-9]{1,20})?",
        1 => "[a-zäöüßжя日本]{1,15}",
    ];
    let domain = prop_oneof![
        "[a-z]{1,10}\\.example",
        "[a-z]{1,60}\\.[a-z]{1,60}\\.example",
        "[bücherжя]{1,8}\\.example"
    ];
    (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
}

fn mailbox() -> impl Strategy<Value = Mailbox> {
    (address(), prop::option::of(line()))
        .prop_filter_map("no mailbox", |(address, name)| Mailbox::parse(&address, name.as_deref()).ok())
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        line(),
        "([a-zé.=<&\"' -]{0,90}\n){0,20}",
        "[a-z ]{2000,3000}",
        "(\\.\n){1,5}x",
        "(--=_.{0,9}\n){1,3}x",
        "[а-я \n]{300,400}",
    ]
}

fn field() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        ("X-[A-Z][a-z0-9-]{0,20}", line()),
        ("X-[A-Z][a-z0-9]{60,73}", line()),
        ("X-[A-Z][a-z]{1,9}", "[!-~]{1,60}( [!-~]{1,60}){0,12}".prop_map(|value| value.replace("=?", "=!"))),
        ("X-[A-Z][a-z]{1,9}", "[!->@-~]{900,998}"),
        (Just("List-Id".to_owned()), "<[a-z.]{1,200}example>"),
        (
            Just("List-Unsubscribe".to_owned()),
            Just("<https://corp.example/u?a=1,2>, <mailto:u@corp.example>".into())
        ),
        (Just("Precedence".to_owned()), Just("bulk".to_owned())),
        (
            Just("References".to_owned()),
            "<[a-z]{1,60}@[a-z]{1,60}>( <[a-z0-9]{1,80}@[a-z]{1,9}\\.example>){0,6}"
        ),
    ]
}

fn file() -> impl Strategy<Value = File> {
    let ending = prop::sample::select(vec!["", ".txt", ".png", ".PDF", ".html", ".json", ".x"]);
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        line().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 3000..4000),
    ];
    (line(), ending, bytes, any::<bool>()).prop_map(|(name, ending, bytes, inline)| {
        let name: String = name.chars().filter(|c| !"/\\".contains(*c)).take(120).collect();
        File { name: format!("{}{ending}", name.trim()), bytes, inline }
    })
}

/// A message of everything.
pub fn anything() -> impl Strategy<Value = Sample> {
    let many = |most| prop::collection::vec(mailbox(), most);
    let people = (mailbox(), prop::option::of(address()), many(1..12), many(0..6));
    let texts = (line(), body(), prop::option::of(body()));
    let more = (
        prop::collection::vec(field(), 0..5),
        prop::collection::vec(file(), 0..4),
        prop::option::of(line()),
        "[0-9a-f]{8}-[0-9a-f]{4}",
    );
    (people, texts, more).prop_filter_map(
        "not accepted",
        |((from, reply_to, to, cc), (subject, text, html), (mut fields, mut files, thread, uid))| {
            fields.sort_by_key(|(name, _)| name.to_ascii_lowercase());
            fields.dedup_by(|one, other| one.0.eq_ignore_ascii_case(&other.0));
            fields.retain(|(name, _)| thread.is_none() || name != "References");
            files.sort_by(|one, other| one.name.cmp(&other.name));
            files.dedup_by(|one, other| one.name == other.name);
            let html = html.map(|html| {
                let escaped =
                    |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
                let images = files.iter().filter(|file| file.inline);
                let images: Vec<_> =
                    images.map(|file| format!("<img src=\"cid:{}\">", escaped(&file.name))).collect();
                format!("<p>{}</p>{}", escaped(&html), images.concat())
            });
            for file in &mut files {
                file.inline &= html.is_some();
            }
            let content = Rendered::new(&subject, Some(text), html).ok()?;
            let own: Vec<_> = fields
                .iter()
                .map(|(name, value)| HeaderField { name: name.clone(), value: value.clone() })
                .collect();
            let attach = |File { name, bytes, inline }: &File| {
                Attachment::new(name, None, *inline, Zeroizing::new(bytes.clone())).ok()
            };
            let additions = Additions {
                fields: OwnFields::new(&own, thread.is_some()).ok()?,
                attachments: files.iter().map(attach).collect::<Option<_>>()?,
                thread,
            };
            let linked = link(content.clone(), &additions, &from, &uid).ok()?;
            let reply_to = reply_to.and_then(|address| EmailAddress::parse(&address).ok());
            Some(Sample { from, reply_to, to, cc, content, linked, fields, files, additions, uid })
        },
    )
}
