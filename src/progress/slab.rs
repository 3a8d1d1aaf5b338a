//! Storage with stable indices that gives memory back.

const PAGE: u32 = 32;

/// Values under indices that stay theirs. Memory comes and goes in pages of 32 values, so that nothing is ever moved, and
/// new values fill the lowest pages first, so that the upper ones become empty.
pub struct Slab<T> {
    pages: Vec<Option<Page<T>>>,
    /// A bit for each page that has room, among them those that are not allocated.
    open: Vec<u64>,
}

struct Page<T> {
    /// A bit for each slot that is taken.
    taken: u32,
    slots: Vec<Option<T>>,
}

impl<T> Slab<T> {
    pub const fn new() -> Self {
        Self { pages: Vec::new(), open: Vec::new() }
    }

    /// Keeps `value` and returns its index.
    pub fn insert(&mut self, value: T) -> u32 {
        let number = self.first_open();
        let page =
            self.pages[number].get_or_insert_with(|| Page { taken: 0, slots: Vec::with_capacity(PAGE as usize) });
        let slot = page.taken.trailing_ones();
        page.taken |= 1 << slot;
        match page.slots.get_mut(slot as usize) {
            Some(vacant) => *vacant = Some(value),
            None => page.slots.push(Some(value)),
        }
        if page.taken == u32::MAX {
            self.open[number / 64] &= !(1 << (number % 64));
        }
        number as u32 * PAGE + slot
    }

    /// All values with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let pages = self.pages.iter().enumerate().filter_map(|(number, page)| Some((number as u32, page.as_ref()?)));
        pages.flat_map(|(number, page)| {
            let slots = page.slots.iter().enumerate();
            slots.filter_map(move |(slot, value)| Some((number * PAGE + slot as u32, value.as_ref()?)))
        })
    }

    /// An index that none of them reaches.
    pub fn end(&self) -> u32 {
        self.pages.len() as u32 * PAGE
    }

    pub fn get(&self, index: u32) -> Option<&T> {
        self.pages.get((index / PAGE) as usize)?.as_ref()?.slots.get((index % PAGE) as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.pages.get_mut((index / PAGE) as usize)?.as_mut()?.slots.get_mut((index % PAGE) as usize)?.as_mut()
    }

    /// Takes the value out. An empty page is freed, but for the first, which the next value would bring back at once.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let number = (index / PAGE) as usize;
        let page = self.pages.get_mut(number)?.as_mut()?;
        let value = page.slots.get_mut((index % PAGE) as usize)?.take()?;
        page.taken &= !(1 << (index % PAGE));
        self.open[number / 64] |= 1 << (number % 64);
        if page.taken == 0 && number > 0 {
            self.pages[number] = None;
            self.trim();
        }
        Some(value)
    }

    /// The lowest page with room.
    fn first_open(&mut self) -> usize {
        let word = self.open.iter().position(|&bits| bits != 0).unwrap_or_else(|| {
            self.open.push(u64::MAX);
            self.open.len() - 1
        });
        let number = word * 64 + self.open[word].trailing_zeros() as usize;
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        number
    }

    /// Drops the unallocated pages at the end.
    fn trim(&mut self) {
        while let Some(None) = self.pages.last() {
            self.pages.pop();
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_lowest_gap_and_frees_empty_pages() {
        let mut slab = Slab::new();
        let indices: Vec<u32> = (0..5_000).map(|value| slab.insert(value)).collect();
        assert_eq!(indices, (0..5_000).collect::<Vec<_>>());
        for index in (1_000..5_000).chain([7, 900]) {
            assert_eq!(slab.remove(index), Some(index));
            assert_eq!(slab.remove(index), None);
            assert_eq!(slab.get(index), None);
        }
        assert_eq!(slab.pages.len(), 1_000_usize.div_ceil(32));
        assert_eq!([slab.insert(1), slab.insert(2), slab.insert(3)], [7, 900, 1_000]);
        assert_eq!(slab.get(6), Some(&6));
        assert_eq!(slab.get_mut(900), Some(&mut 2));
        assert_eq!(slab.get(4_999), None);
        assert!(slab.iter().all(|(index, value)| slab.get(index) == Some(value)) && slab.iter().count() == 1_001);
    }

    #[test]
    fn keeps_only_the_first_page_when_empty() {
        let mut slab = Slab::new();
        for value in 0..5_000 {
            slab.insert(value);
        }
        for index in 0..5_000 {
            slab.remove(index);
        }
        assert_eq!(slab.pages.len(), 1);
        assert!(slab.pages.capacity() < 16);
    }
}
