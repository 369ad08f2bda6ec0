//! Which of a template's languages somebody gets: by what CLDR knows of languages (aliases, the scripts that regions
//! write in, and which languages stand for each other), not by the letters of tags.

use super::Locale;
use icu_locale::fallback::LocaleFallbackConfig;
use icu_locale::{LanguageIdentifier, LocaleCanonicalizer, LocaleExpander, LocaleFallbacker};

/// The language to use for someone who wants the first of `wanted`, else the second and so on: the nearest one that is
/// available to the first of these that has any, else `own`.
///
/// Near is the same language in the same script. `zh-TW` and `zh-HK` are near to `zh-Hant`, `zh-CN` to `zh-Hans`, `no` to
/// `nb`, `iw` to `he`, `pt-PT` to `pt-BR`; the less has to be left out of what is wanted, the nearer.
pub fn choose<'a>(
    wanted: &[Locale],
    own: &'a Locale,
    others: impl IntoIterator<Item = &'a Locale>,
) -> &'a Locale {
    let available: Vec<_> = std::iter::once(own).chain(others).collect();
    let nearest = |wanted: &Locale| {
        // Almost always, and it takes no look into CLDR.
        if let Some(same) = available.iter().find(|available| **available == wanted) {
            return Some(*same);
        }
        let wanted = Lineage::of(wanted);
        let distance = |available: &Locale| wanted.distance(&Lineage::of(available));
        available
            .iter()
            .filter_map(|available| Some((distance(available)?, *available)))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, available)| available)
    };
    wanted.iter().find_map(nearest).unwrap_or(own)
}

/// A language and what it falls back to.
struct Lineage<'a> {
    tag: &'a Locale,
    /// In CLDR's order, the language itself first: `es-MX`, `es-419`, `es`. For a tag that is none of Unicode's its parts.
    steps: Vec<String>,
    /// Language, script and region, as far as they can be known.
    likely: Option<LanguageIdentifier>,
    /// Whether it says more than these, such as `en-x-corp`.
    is_special: bool,
}

/// How far a language is from what is wanted; the least is the nearest. Steps from what is wanted count first, then those
/// from what is available, to where both meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Distance {
    wanted: usize,
    is_special: bool,
    /// How much of the tag has to be cut off.
    cut: usize,
    available: usize,
    /// Whether it is not the region that most readers are in.
    is_unlikely: bool,
}

impl<'a> Lineage<'a> {
    fn of(tag: &'a Locale) -> Self {
        let Ok(mut locale) = tag.as_str().parse::<icu_locale::Locale>() else {
            let steps = tag.fallbacks().map(Into::into).collect();
            return Self { tag, steps, likely: None, is_special: false };
        };
        LocaleCanonicalizer::new_extended().canonicalize(&mut locale);
        let is_special = !locale.extensions.is_empty() || !locale.id.variants.is_empty();
        let fallbacker = LocaleFallbacker::new().for_config(LocaleFallbackConfig::default());
        let mut fallback = fallbacker.fallback_for((&locale).into());
        let mut steps = Vec::new();
        while !fallback.get().is_unknown() {
            steps.push(fallback.get().to_string());
            fallback.step();
        }
        Self { tag, steps, likely: Some(likely(locale.id)), is_special }
    }

    fn distance(&self, available: &Self) -> Option<Distance> {
        let cut = self.tag.fallbacks().position(|tag| tag == available.tag.as_str());
        let meeting = self.steps.iter().enumerate().find_map(|(wanted, step)| {
            available.steps.iter().position(|other| other == step).map(|available| (wanted, available, step))
        });
        let Some((wanted, steps, step)) = meeting else { return self.last_resort(available) };
        Some(Distance {
            wanted,
            is_special: available.is_special && cut.is_none(),
            available: steps,
            is_unlikely: available.likely != step.parse().ok().map(likely),
            cut: cut.unwrap_or(usize::MAX),
        })
    }

    /// Another script of the same language, for which the available text names none: `zh` for `zh-TW`.
    fn last_resort(&self, available: &Self) -> Option<Distance> {
        let language = |lineage: &Self| lineage.likely.as_ref().map(|likely| likely.language);
        let is_same = language(self).is_some() && language(self) == language(available);
        (is_same && !available.tag.as_str().contains('-')).then_some(Distance {
            wanted: usize::MAX,
            is_special: false,
            available: 0,
            is_unlikely: false,
            cut: 0,
        })
    }
}

fn likely(mut locale: LanguageIdentifier) -> LanguageIdentifier {
    LocaleExpander::new_extended().maximize(&mut locale);
    locale
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What somebody gets of these languages, the first of which is the template's own.
    fn chosen(wanted: &str, available: &str) -> String {
        let parse = |tags: &str| -> Vec<Locale> {
            tags.split_whitespace().map(|tag| Locale::parse(tag).unwrap()).collect()
        };
        let available = parse(available);
        let [own, others @ ..] = available.as_slice() else { unreachable!() };
        choose(&parse(wanted), own, others).as_str().to_owned()
    }

    #[test]
    fn the_nearest_language() {
        for (wanted, available, expected) in [
            ("", "en de", "en"),
            ("en-GB", "de en", "en"),
            ("de-ch", "en de de-AT", "de"),
            ("de-at", "en de de-AT", "de-AT"),
            ("de", "en de-AT", "de-AT"),
            ("fr", "en de", "en"),
            // The script of the region.
            ("zh-TW", "en zh-Hans zh-Hant", "zh-Hant"),
            ("zh-HK", "en zh-Hans zh-Hant", "zh-Hant"),
            ("zh-MO", "en zh zh-TW", "zh-TW"),
            ("zh-CN", "en zh-Hant zh-Hans", "zh-Hans"),
            ("zh", "en zh-Hant zh-Hans", "zh-Hans"),
            ("zh-SG", "en zh-Hant zh-CN", "zh-CN"),
            ("zh-Hant-TW", "en zh zh-Hant", "zh-Hant"),
            ("zh-Hans", "en zh-Hant", "en"),
            ("zh", "en zh-Hant", "en"),
            ("zh-TW", "en zh", "zh"),
            ("sr-ME", "en sr sr-Latn", "sr-Latn"),
            ("az-IR", "en az az-Arab", "az-Arab"),
            // Other names of the same.
            ("no", "en nb", "nb"),
            ("nb-NO", "en no", "no"),
            ("nn", "en nb", "nb"),
            ("iw", "en he", "he"),
            ("he-IL", "en iw", "iw"),
            ("in", "en id", "id"),
            ("cmn-TW", "en zh-Hans zh-Hant", "zh-Hant"),
            // Another region before another language, and the nearer first.
            ("pt-PT", "en pt-BR", "pt-BR"),
            ("pt-AO", "en pt-BR pt-PT", "pt-PT"),
            ("pt", "en pt-PT pt-BR", "pt-BR"),
            ("en-AU", "de en-US en-GB", "en-GB"),
            ("en", "de en-GB en-US", "en-US"),
            ("es-MX", "en es-ES es-419", "es-419"),
            ("es-MX", "en es es-AR", "es-AR"),
            // Tags that say more, and those that CLDR does not know.
            ("en-x-corp", "de en en-x-corp", "en-x-corp"),
            ("en-x-corp-ab", "de en en-x-corp", "en-x-corp"),
            ("en", "de en-x-corp en-US", "en-US"),
            ("sl-rozaj-biske", "en sl sl-rozaj", "sl-rozaj"),
            ("qq-AB", "en qq", "qq"),
            ("tlhx-AB", "en tlhx", "tlhx"),
        ] {
            assert_eq!(chosen(wanted, available), expected, "{wanted} of {available}");
        }
    }

    #[test]
    fn the_next_wish_counts_where_nothing_is_near_to_the_first() {
        for (wanted, available, expected) in [
            ("fr de", "en de pt-BR", "de"),
            ("fr it", "en de pt-BR", "en"),
            ("pt-PT de", "en de pt-BR", "pt-BR"),
            ("de-AT fr", "en fr de", "de"),
            ("zh-TW zh-CN", "en zh-Hans", "zh-Hans"),
        ] {
            assert_eq!(chosen(wanted, available), expected, "{wanted} of {available}");
        }
    }
}
