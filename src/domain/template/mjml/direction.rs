//! MJML in languages that are written from right to left. The converter puts left-aligned text and columns from the left
//! into every document, whatever its `dir` says: here they get other defaults, over which the author's own win.

use crate::domain::locale::Direction;
use mrml::mj_attributes::{MjAttributes, MjAttributesChild};
use mrml::mj_attributes_element::MjAttributesElement;
use mrml::mj_head::MjHeadChild;
use mrml::mjml::Mjml;

/// Elements whose text is at the left by default.
const ALIGNED: [&str; 2] = ["mj-text", "mj-table"];
/// Elements that begin at the left by default, whatever the document's `dir`.
const DIRECTED: [&str; 4] = ["mj-section", "mj-wrapper", "mj-group", "mj-column"];

/// Has lines and columns begin at the right.
pub(super) fn from_right_to_left(document: &mut Mjml) {
    document.attributes.dir = Some(Direction::RightToLeft.as_str().to_owned());
    let head = document.children.head.get_or_insert_default();
    let of_all = |name: &str| {
        head.children
            .iter()
            .filter_map(|child| child.as_mj_attributes())
            .flat_map(|list| &list.children)
            .any(|child| child.as_mj_attributes_all().is_some_and(|all| all.attributes.contains_key(name)))
    };
    let mut defaults = MjAttributes::default();
    let mut add = |elements: &[&str], attribute: &str, value: &str| {
        // What is said of each element wins over what is said of all, so that the author's word would be lost.
        if of_all(attribute) {
            return;
        }
        for element in elements {
            let mut default = MjAttributesElement::new((*element).to_owned());
            default.attributes.insert(attribute.to_owned(), Some(value.to_owned()));
            defaults.children.push(MjAttributesChild::MjAttributesElement(default));
        }
    };
    add(&ALIGNED, "align", "right");
    add(&DIRECTED, "direction", "rtl");
    // The first: of two defaults the later one counts.
    head.children.insert(0, MjHeadChild::MjAttributes(defaults));
}
