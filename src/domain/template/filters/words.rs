//! Numbers, lists and plurals as a language has them, by CLDR.

use super::{charge, locale, shown, text, wrong};
use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use icu_list::ListFormatter;
use icu_list::options::ListFormatterOptions;
use icu_plurals::{PluralCategory, PluralRules};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, State, Value};

/// Most digits after the decimal separator.
const MAX_DIGITS: i16 = 20;

/// `1234.5` as `1,234.5`, `1.234,5` or `1 234,5`; `digits` fixes those after the separator.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
pub(super) fn number(
    state: &State<'_, '_>,
    value: &Value,
    digits: Option<i16>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let named: Option<i16> = kwargs.get("digits")?;
    kwargs.assert_all_used()?;
    if super::is_empty(value) {
        return Ok(value.clone());
    }
    let mut decimal = decimal("number", value)?;
    if let Some(digits) = digits.or(named) {
        if !(0..=MAX_DIGITS).contains(&digits) {
            return Err(wrong(format!("number shows 0 to {MAX_DIGITS} digits, not {digits}")));
        }
        decimal.round(-digits);
        decimal.pad_end(-digits);
    }
    formatted(state, &decimal).map(Value::from)
}

/// `{} file` or `{} files`, by the rules of the language.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
pub(super) fn plural(state: &State<'_, '_>, value: &Value, forms: Kwargs) -> Result<Value, Error> {
    charge(state)?;
    let decimal = decimal("plural", value)?;
    let rules =
        PluralRules::try_new_cardinal(locale(state).into()).map_err(|error| wrong(error.to_string()))?;
    let has: Vec<_> = rules.categories().map(name).collect();
    let language = state.name().split('/').next().unwrap_or_default();
    for form in forms.args() {
        if !has.contains(&form) {
            let has = has.join(", ");
            return Err(wrong(format!("plural has no form {form} in {language}: its forms are {has}")));
        }
    }
    let lacks = |form: &str| !forms.has(form);
    if has.iter().any(|form| lacks(form))
        && let Some(missing) = of_whole_numbers(&rules).into_iter().find(|form| lacks(form))
    {
        return Err(wrong(format!(
            "plural needs the form {missing} in {language}: add {missing}=\"{{}} …\""
        )));
    }
    let category = name(rules.category_for(&decimal));
    // A language that has a form for millions has the other one for them, too.
    let chosen = if forms.has(category) { category } else { "other" };
    if lacks(chosen) {
        return Err(wrong(format!(
            "plural needs the form {category} in {language} for {decimal}: add {category}=\"{{}} …\""
        )));
    }
    let form: Value = forms.get(chosen)?;
    for form in has.iter().filter(|form| forms.has(form)) {
        forms.get::<Value>(form)?;
    }
    let form = text("a form of plural", &form)?.to_owned();
    let number = if form.contains("{}") { formatted(state, &decimal)? } else { String::new() };
    if form.matches("{}").count() > 4 {
        return Err(wrong("a form of plural has more than four {}"));
    }
    Ok(Value::from(form.replace("{}", &number)))
}

/// The forms that counting takes, in CLDR's order. Some languages have one for fractions or for millions only, which
/// nobody writes for a handful of files.
fn of_whole_numbers(rules: &PluralRules) -> Vec<&'static str> {
    // CLDR's rules of smaller numbers look at the last two digits.
    let counted: Vec<_> = (0..=200_u32).map(|count| rules.category_for(count)).collect();
    rules.categories().filter(|category| counted.contains(category)).map(name).collect()
}

const fn name(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
}

/// Jinja's conversion to a list; with `"and"` or `"or"` the items as a language joins them.
pub(super) fn list(state: &State<'_, '_>, value: &Value, kind: Option<String>) -> Result<Value, Error> {
    let Some(kind) = kind else { return minijinja::filters::list(state, value.clone()) };
    charge(state)?;
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(wrong(format!("list takes a list, not {}", shown(value))));
    }
    let mut items = Vec::new();
    for item in value.try_iter()? {
        state.consume_fuel(1 + u64::try_from(item.as_str().map_or(0, str::len) / 64).unwrap_or_default())?;
        items.push(item.to_string());
    }
    let (preferences, options) = (locale(state).into(), ListFormatterOptions::default());
    let formatter = match kind.as_str() {
        "and" => ListFormatter::try_new_and(preferences, options),
        "or" => ListFormatter::try_new_or(preferences, options),
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(wrong(format!("list joins with \"and\" or \"or\", not {other:?}")));
        }
    };
    let formatter = formatter.map_err(|error| wrong(error.to_string()))?;
    Ok(Value::from(formatter.format(items.iter()).to_string()))
}

fn formatted(state: &State<'_, '_>, decimal: &Decimal) -> Result<String, Error> {
    charge(state)?;
    let formatter = DecimalFormatter::try_new(
        locale(state).into(),
        icu_decimal::options::DecimalFormatterOptions::default(),
    )
    .map_err(|error| wrong(error.to_string()))?;
    Ok(formatter.format(decimal).to_string())
}

fn decimal(filter: &str, value: &Value) -> Result<Decimal, Error> {
    let not_a_number = || wrong(format!("{filter} takes a number, not {}", shown(value)));
    if value.kind() != ValueKind::Number {
        return Err(not_a_number());
    }
    // Numbers are shown without an exponent, up to 310 digits.
    value.to_string().parse().or_else(|_| {
        let number = f64::try_from(value.clone()).map_err(|_| not_a_number())?;
        format!("{number}").parse().map_err(|_| not_a_number())
    })
}
