//! What templates have besides the filters of Jinja: dates, numbers, lists and plurals in the language of
//! the text that they stand in, links, and checks of what stands in an address or in CSS. Each charges its
//! work, so that the bound on steps holds for it as well.

mod calls;
#[allow(clippy::needless_pass_by_value)] // the engine calls filters with values
mod dates;
#[allow(clippy::needless_pass_by_value)]
mod words;

pub(super) use calls::unknown;

use crate::domain::values::check_url;
use icu_locale_core::Locale;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, HtmlEscape, State, Value};

/// What the filters below are called.
const OWN: [&str; 8] = ["color", "date", "datetime", "link", "number", "plural", "time", "url"];

/// Steps that formatting one value in a language counts as. It takes about 20 µs, a step about 50 ns.
const FORMATTING: u64 = 200;

pub(super) fn add(engine: &mut Environment<'static>) {
    engine.add_filter("date", dates::date);
    engine.add_filter("time", dates::time);
    engine.add_filter("datetime", dates::datetime);
    engine.add_filter("number", words::number);
    engine.add_filter("plural", words::plural);
    engine.add_filter("list", words::list);
    engine.add_filter("link", link);
    engine.add_filter("url", url);
    engine.add_filter("color", color);
    engine.add_filter("tojson", tojson);
    // Values are escaped, whoever wrote the text.
    engine.remove_filter("safe");
}

/// The language of the text that a filter stands in: names of texts begin with it.
fn locale(state: &State<'_, '_>) -> Locale {
    let tag = state.name().split('/').next().unwrap_or_default();
    // Any tag of ours that is none of Unicode's is formatted as in the root locale.
    tag.parse().unwrap_or(Locale::UNKNOWN)
}

fn charge(state: &State<'_, '_>) -> Result<(), Error> {
    state.consume_fuel(FORMATTING)
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// A value as an error may show it.
fn shown(value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        None => value.kind().to_string(),
    }
}

/// An optional variable that was not given.
fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

/// `<a href>` in HTML, `text (address)` in plain text.
fn link(state: &State<'_, '_>, value: &Value, text: Option<Value>) -> Result<Value, Error> {
    if is_empty(value) {
        return Ok(value.clone());
    }
    let address = checked_url("link", value)?;
    let text = text.filter(|text| !is_empty(text)).unwrap_or_else(|| value.clone());
    state.consume_fuel(u64::try_from(address.len() / 16).unwrap_or(u64::MAX))?;
    if matches!(state.auto_escape(), AutoEscape::None) {
        let same = text.as_str() == Some(address);
        return Ok(Value::from(if same { address.to_owned() } else { format!("{text} ({address})") }));
    }
    let text = if text.is_safe() { text.to_string() } else { HtmlEscape(&text.to_string()).to_string() };
    let href = HtmlEscape(address);
    Ok(Value::from_safe_string(format!("<a href=\"{href}\">{text}</a>")))
}

/// The value, which must be an https address or name an attachment.
fn url(value: &Value) -> Result<Value, Error> {
    let attachment = value.as_str().and_then(|text| text.strip_prefix("cid:"));
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b));
    if is_empty(value) || attachment.is_some_and(is_name) {
        return Ok(value.clone());
    }
    checked_url("url", value).map(Value::from)
}

fn checked_url<'a>(filter: &str, value: &'a Value) -> Result<&'a str, Error> {
    let text =
        value.as_str().ok_or_else(|| wrong(format!("{filter} takes an address, not {}", shown(value))))?;
    check_url(text).map_err(|problem| wrong(format!("{} {problem}", shown(value))))?;
    Ok(text)
}

/// The value, which must be a colour as CSS writes it.
fn color(value: &Value) -> Result<Value, Error> {
    let is_color = |text: &str| match text.strip_prefix('#') {
        Some(digits) => {
            matches!(digits.len(), 3 | 4 | 6 | 8) && digits.bytes().all(|b| b.is_ascii_hexdigit())
        }
        None => (3..=24).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic()),
    };
    match value.as_str() {
        Some(text) if is_color(text) => Ok(Value::from(text)),
        _ => Err(wrong(format!("color takes a colour like #1a2b3c or navy, not {}", shown(value)))),
    }
}

/// Jinja's, but what it gives is a value like any other: its quotes would end an attribute.
fn tojson(state: &State<'_, '_>, value: &Value, indent: Option<Value>, args: Kwargs) -> Result<Value, Error> {
    let json = minijinja::filters::tojson(value, indent, args)?.to_string();
    state.consume_fuel(u64::try_from(json.len() / 16).unwrap_or(u64::MAX))?;
    Ok(Value::from(json))
}

/// A text argument, or why it is none.
fn text<'a>(filter: &str, value: &'a Value) -> Result<&'a str, Error> {
    let kind = if value.kind() == ValueKind::Undefined { "nothing".into() } else { shown(value) };
    value.as_str().ok_or_else(|| wrong(format!("{filter} takes text, not {kind}")))
}
