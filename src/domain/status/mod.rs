//! Old status + what was found + now → new status. Pure, so that "a write that says nothing new" is
//! a comparison, and every answer a user can see is in a table of a test.

pub mod conditions;
pub mod notification;
pub mod server;
pub mod size;
pub mod template;
