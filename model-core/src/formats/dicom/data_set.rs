//! The attributes of a file or of a sequence's item.

use std::ops::Range;

use super::tags::Tag;

/// The value of an attribute. Bytes are ranges of the file.
#[derive(Debug, Clone)]
pub enum Value {
    Bytes(Range<usize>),
    Items(Vec<DataSet>),
    /// Compressed pixels: the offset table, then the fragments.
    Fragments(Vec<Range<usize>>),
}

/// The attributes that are read, in the file's order.
#[derive(Debug, Clone, Default)]
pub struct DataSet {
    pub elements: Vec<(Tag, Value)>,
}

impl DataSet {
    /// Returns the value of an attribute.
    pub fn value(&self, tag: Tag) -> Option<&Value> {
        self.elements.iter().find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// Returns the bytes of an attribute that is not empty.
    pub fn range(&self, tag: Tag) -> Option<Range<usize>> {
        match self.value(tag)? {
            Value::Bytes(range) if !range.is_empty() => Some(range.clone()),
            _ => None,
        }
    }

    /// Returns the items of a sequence; none if it is missing.
    pub fn items(&self, tag: Tag) -> &[DataSet] {
        match self.value(tag) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    /// Returns the first bytes of an attribute in the first item of any sequence of this item, as
    /// functional groups of a multi-frame file store it.
    pub fn range_in_groups(&self, tag: Tag) -> Option<Range<usize>> {
        self.elements.iter().find_map(|(_, value)| match value {
            Value::Items(items) => items.first()?.range(tag),
            _ => None,
        })
    }
}
