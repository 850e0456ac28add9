//! A row, as a list holds it: a place in the page that it came with, or in the list of a region that was judged.
//!
//! Lists and verdicts come by ways of their own, so the rows of a region are read twice. As soon as both are here the
//! list lets go of each row that is the same and looks it up in the region's: 100,000 rows are held once. Rows stay in
//! their pages, because pages are large enough that an allocator gives them back; rows by themselves are not.

use std::ops::Deref;
use std::sync::Arc;

/// A row.
#[derive(Debug)]
pub enum Held<T> {
    /// By itself: it was changed, or its list has no other use.
    Own(Box<T>),
    /// One of these.
    Of(Arc<Vec<T>>, u32),
}

impl<T> Held<T> {
    /// A row by itself.
    pub fn own(row: T) -> Self {
        Self::Own(Box::new(row))
    }

    /// Whether it is one of these.
    #[cfg(test)]
    pub(super) fn is_of(&self, list: &Arc<Vec<T>>) -> bool {
        matches!(self, Self::Of(held, _) if Arc::ptr_eq(held, list))
    }
}

impl<T: Clone> Held<T> {
    /// Keeps no list.
    pub fn let_go(&mut self) {
        if let Self::Of(list, at) = self
            && let Some(row) = list.get(*at as usize).cloned()
        {
            *self = Self::own(row);
        }
    }

    /// The row, to be changed: from then on nobody else has it.
    pub fn make_own(&mut self) -> Option<&mut T> {
        self.let_go();
        match self {
            Self::Own(row) => Some(row),
            Self::Of(..) => None,
        }
    }
}

impl<T: Clone + PartialEq> Held<T> {
    /// Becomes the row of a list, where it is the same. What is not, holds on to no list: one row would keep all of an
    /// older one.
    pub fn share(&mut self, list: &Arc<Vec<T>>, at: Option<u32>) {
        let same = at.filter(|at| list.get(*at as usize).is_some_and(|row| *row == **self));
        match same {
            Some(at) => *self = Self::Of(Arc::clone(list), at),
            None => self.let_go(),
        }
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Own(row) => row,
            // A place is taken only where the list has it, and nobody changes a shared list.
            Self::Of(list, at) => &list[*at as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_held_once_and_what_is_changed_is_held_apart() {
        let list = Arc::new(vec!["a".to_owned(), "b".to_owned()]);
        let (mut same, mut other) = (Held::own("b".to_owned()), Held::own("c".to_owned()));
        same.share(&list, Some(1));
        other.share(&list, Some(0));
        assert!(same.is_of(&list) && !other.is_of(&list));
        assert_eq!((same.as_str(), other.as_str(), Arc::strong_count(&list)), ("b", "c", 2));
        same.make_own().unwrap().push('!');
        assert_eq!((same.as_str(), list[1].as_str(), Arc::strong_count(&list)), ("b!", "b", 1));
        // A newer list takes its place; a row that it has not lets the older go.
        let mut row = Held::own("a".to_owned());
        row.share(&list, Some(0));
        row.share(&Arc::new(Vec::new()), None);
        assert_eq!((row.as_str(), Arc::strong_count(&list)), ("a", 1));
    }
}
