//! The elements of MJML 4 with their attributes and where each may stand, from the MJML documentation
//! (<https://documentation.mjml.io>, "Components"). What the converter does not know is left out.

/// An element of MJML.
#[derive(Debug)]
pub(super) struct Element {
    pub name: &'static str,
    /// The elements that it may stand in, separated by spaces.
    pub parents: &'static str,
    /// Its attributes; a word with `@` stands for several.
    pub attributes: &'static str,
    pub holds: Holds,
}

/// What an element may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Elements that name it as their parent.
    Elements,
    /// HTML.
    Markup,
    /// Text or CSS.
    Words,
    /// Nothing.
    Nothing,
}

/// The attributes that every element of the body has.
pub(super) const EVERYWHERE: &str = "css-class mj-class";

/// What the words with `@` stand for.
pub(super) const GROUPS: [(&str, &str); 6] = [
    ("@padding", "padding padding-bottom padding-left padding-right padding-top"),
    ("@border", "border border-bottom border-left border-radius border-right border-top"),
    (
        "@inner-border",
        "inner-border inner-border-bottom inner-border-left inner-border-radius inner-border-right inner-border-top",
    ),
    (
        "@inner-padding",
        "inner-padding inner-padding-bottom inner-padding-left inner-padding-right inner-padding-top",
    ),
    ("@font", "font-family font-size font-style font-weight"),
    (
        "@background",
        "background-color background-position background-position-x background-position-y background-repeat background-size background-url",
    ),
];

/// Where content stands.
const IN_COLUMN: &str = "mj-column mj-hero";
/// Where raw HTML stands.
const IN_ANY: &str = "mj-head mj-body mj-wrapper mj-section mj-group mj-column mj-hero mj-accordion mj-accordion-element mj-navbar mj-social";

const fn element(
    name: &'static str,
    parents: &'static str,
    attributes: &'static str,
    holds: Holds,
) -> Element {
    Element { name, parents, attributes, holds }
}

use Holds::{Elements, Markup, Nothing, Words};

/// All of them.
pub(super) const ELEMENTS: [Element; 34] = [
    element("mjml", "", "dir lang owa", Elements),
    element("mj-head", "mjml", "", Elements),
    element("mj-attributes", "mj-head", "", Elements),
    element("mj-all", "mj-attributes", "", Nothing),
    element("mj-class", "mj-attributes", "name", Nothing),
    element("mj-breakpoint", "mj-head", "width", Nothing),
    element("mj-font", "mj-head", "href name", Nothing),
    element("mj-preview", "mj-head", "", Words),
    element("mj-style", "mj-head", "inline", Words),
    element("mj-title", "mj-head", "", Words),
    element("mj-body", "mjml", "background-color id width", Elements),
    element(
        "mj-section",
        "mj-body mj-wrapper",
        "@padding @border @background direction full-width text-align text-padding",
        Elements,
    ),
    element(
        "mj-wrapper",
        "mj-body",
        "@padding @border @background direction full-width gap text-align text-padding",
        Elements,
    ),
    element(
        "mj-hero",
        "mj-body mj-wrapper",
        "@padding @inner-padding align background-color background-height background-position background-url background-width border-radius container-background-color height inner-background-color mode vertical-align width",
        Elements,
    ),
    element(
        "mj-column",
        "mj-section mj-group",
        "@padding @border @inner-border background-color direction inner-background-color vertical-align width",
        Elements,
    ),
    element("mj-group", "mj-section", "background-color direction vertical-align width", Elements),
    element(
        "mj-text",
        IN_COLUMN,
        "@padding @font align background-color color container-background-color height letter-spacing line-height text-decoration text-transform vertical-align",
        Markup,
    ),
    element(
        "mj-button",
        IN_COLUMN,
        "@padding @inner-padding @border @font align background-color color container-background-color height href letter-spacing line-height name rel target text-align text-decoration text-transform title vertical-align width",
        Markup,
    ),
    element(
        "mj-image",
        IN_COLUMN,
        "@padding @border align alt container-background-color fluid-on-mobile font-size height href max-height name rel sizes src srcset target title usemap width",
        Nothing,
    ),
    element(
        "mj-divider",
        IN_COLUMN,
        "@padding align border-color border-style border-width container-background-color width",
        Nothing,
    ),
    element(
        "mj-spacer",
        IN_COLUMN,
        "@padding @border container-background-color height vertical-align width",
        Nothing,
    ),
    element(
        "mj-table",
        IN_COLUMN,
        "@padding @font align border cellpadding cellspacing color container-background-color line-height role table-layout vertical-align width",
        Markup,
    ),
    element("mj-raw", IN_ANY, "position", Markup),
    element(
        "mj-social",
        IN_COLUMN,
        "@padding @font align border-radius color container-background-color icon-height icon-padding icon-size inner-padding line-height mode table-layout text-decoration text-padding vertical-align",
        Elements,
    ),
    element(
        "mj-social-element",
        "mj-social",
        "@padding @font align alt background-color border-radius color href icon-height icon-padding icon-position icon-size line-height name rel sizes src srcset target text-decoration text-padding title vertical-align",
        Markup,
    ),
    element(
        "mj-navbar",
        IN_COLUMN,
        "@padding align base-url hamburger ico-align ico-close ico-color ico-font-family ico-font-size ico-line-height ico-open ico-padding ico-padding-bottom ico-padding-left ico-padding-right ico-padding-top ico-text-decoration ico-text-transform",
        Elements,
    ),
    element(
        "mj-navbar-link",
        "mj-navbar",
        "@padding @font color href letter-spacing line-height name rel target text-decoration text-transform",
        Markup,
    ),
    element(
        "mj-accordion",
        IN_COLUMN,
        "@padding border container-background-color font-family icon-align icon-height icon-position icon-unwrapped-alt icon-unwrapped-url icon-width icon-wrapped-alt icon-wrapped-url",
        Elements,
    ),
    element(
        "mj-accordion-element",
        "mj-accordion",
        "background-color border font-family icon-align icon-height icon-position icon-unwrapped-alt icon-unwrapped-url icon-width icon-wrapped-alt icon-wrapped-url",
        Elements,
    ),
    element(
        "mj-accordion-title",
        "mj-accordion-element",
        "@padding background-color color font-family font-size font-weight",
        Markup,
    ),
    element(
        "mj-accordion-text",
        "mj-accordion-element",
        "@padding background-color color font-family font-size font-weight letter-spacing line-height",
        Markup,
    ),
    element(
        "mj-carousel",
        IN_COLUMN,
        "@padding align border-radius container-background-color icon-width left-icon right-icon tb-border tb-border-radius tb-hover-border-color tb-selected-border-color tb-width thumbnails",
        Elements,
    ),
    element(
        "mj-carousel-image",
        "mj-carousel",
        "alt border-radius href rel src target tb-border tb-border-radius thumbnails-src title",
        Nothing,
    ),
    element("mj-include", "", "", Nothing),
];
