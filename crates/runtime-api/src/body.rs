//! Memory that the engine lends for a piece of the request body: possibly never written before, so that it can only be
//! filled, and what counts as filled has been.

use std::mem::MaybeUninit;

/// The buffer of one `read_body` call.
pub struct BodyBuffer<'b> {
    memory: &'b mut [MaybeUninit<u8>],
    filled: usize,
}

impl<'b> BodyBuffer<'b> {
    /// Over memory of a caller.
    pub fn new(memory: &'b mut [MaybeUninit<u8>]) -> BodyBuffer<'b> {
        BodyBuffer { memory, filled: 0 }
    }

    /// Over memory of the other side of the table.
    ///
    /// # Safety
    /// If `len` is not 0, `first` points to that many bytes that are valid for writes, and nobody else's, for `'b`.
    pub(crate) unsafe fn from_raw(first: *mut u8, len: usize) -> BodyBuffer<'b> {
        if len == 0 || first.is_null() {
            return BodyBuffer::new(&mut []);
        }
        // SAFETY: as above; MaybeUninit asks nothing of the contents.
        BodyBuffer::new(unsafe { std::slice::from_raw_parts_mut(first.cast(), len) })
    }

    /// Room that is left, bytes.
    pub fn room(&self) -> usize {
        self.memory.len() - self.filled
    }

    /// Bytes filled so far.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Copies as much of `bytes` as there is room for, and returns how much that was.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        for (target, byte) in self.memory[self.filled..].iter_mut().zip(&bytes[..count]) {
            target.write(*byte);
        }
        self.filled += count;
        count
    }

    /// Lets `fill` write to at most `limit` bytes of the room; it returns the written front of what it got. Returns the
    /// length of that front.
    ///
    /// # Errors
    /// Those of `fill`; nothing counts as filled then.
    ///
    /// # Panics
    /// If `fill` returns memory other than the front of what it was given.
    pub fn fill<E>(
        &mut self,
        limit: usize,
        fill: impl for<'m> FnOnce(&'m mut [MaybeUninit<u8>]) -> Result<&'m mut [u8], E>,
    ) -> Result<usize, E> {
        let limit = limit.min(self.room());
        let room = &mut self.memory[self.filled..self.filled + limit];
        let first = room.as_ptr().cast::<u8>();
        let written = fill(room)?;
        let count = written.len();
        // That it is initialised memory is certain by its type; that it is this memory is checked.
        assert!(
            count == 0 || (written.as_ptr() == first && count <= limit),
            "not the front"
        );
        self.filled += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_counts() {
        let mut memory = [MaybeUninit::uninit(); 6];
        let mut buffer = BodyBuffer::new(&mut memory);
        assert_eq!(buffer.put(b"ab"), 2);
        let written = buffer.fill(3, |room| {
            assert_eq!(room.len(), 3);
            for cell in room.iter_mut() {
                cell.write(b'c');
            }
            let front = &mut room[..2];
            // SAFETY: both were written above.
            Ok::<_, ()>(unsafe { &mut *(&raw mut *front as *mut [u8]) })
        });
        assert_eq!(written, Ok(2));
        assert_eq!(buffer.put(b"defg"), 2);
        assert_eq!((buffer.filled(), buffer.room()), (6, 0));
        assert_eq!(buffer.fill(9, |_| Err(())), Err(()));
    }

    #[test]
    #[should_panic(expected = "not the front")]
    fn other_memory_is_noticed() {
        let mut memory = [MaybeUninit::uninit(); 6];
        let mut buffer = BodyBuffer::new(&mut memory);
        let _ = buffer.fill(3, |_| {
            Ok::<_, ()>(Box::leak(Box::new([0_u8; 2])).as_mut_slice())
        });
    }
}
