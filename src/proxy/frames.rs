//! Where the frames of a WebSocket end: their lengths are followed, nothing is taken apart or written anew.

/// The close frames of the gateway's own (RFC 6455 section 7.4.1): FIN and opcode 8, two bytes of status, not masked.
pub(super) const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];
pub(super) const POLICY_VIOLATION: [u8; 4] = [0x88, 2, 0x03, 0xf0];

const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 8;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// Follows the frames that a server sends (RFC 6455 section 5.2).
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    /// What has come of a frame's head: two bytes, up to eight of length, up to four of mask.
    head: [u8; 14],
    have: usize,
    /// What is to come of its payload.
    left: u64,
    /// A close frame has passed: nothing comes after it.
    closed: bool,
}

impl Frames {
    /// These bytes have passed.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = self.step(bytes);
            bytes = bytes.get(passed..).unwrap_or_default();
        }
    }

    /// How many of the bytes that come next belong to the frame under way; `None`: it does not end in them. A frame of
    /// somebody else's may stand behind them.
    pub(super) fn up_to_border(&self, next: &[u8]) -> Option<usize> {
        if self.is_at_border() {
            return Some(0);
        }
        let mut ahead = self.clone();
        let passed = ahead.step(next);
        ahead.is_at_border().then_some(passed)
    }

    /// Whether a close frame has passed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn is_at_border(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Takes bytes as far as the end of one frame.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(passed) else { return passed };
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            passed += 1;
            if self.have == self.head_length() {
                self.begin();
                if self.left == 0 {
                    return passed;
                }
            }
        }
        let rest = bytes.len().saturating_sub(passed);
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
        self.left = self.left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        passed + taken
    }

    fn head_length(&self) -> usize {
        let [_, second, ..] = self.head;
        if self.have < 2 {
            return 2;
        }
        let length = match second & LENGTH {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & MASKED == 0 { 0 } else { 4 };
        2 + length + mask
    }

    /// The head is complete.
    fn begin(&mut self) {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.head;
        self.left = match second & LENGTH {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        self.closed |= first & OPCODE == CLOSE;
        self.have = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(vec![0x88; length]);
        frame
    }

    #[test]
    fn borders_are_found_however_the_bytes_are_cut() {
        let frames: Vec<Vec<u8>> = [0, 1, 125, 126, 65535, 65536, 70000, 0, 3]
            .map(|length| frame(2, length))
            .to_vec();
        let stream = frames.concat();
        let borders: Vec<usize> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        for piece in [1, 2, 3, 7, 1000, 16384, stream.len()] {
            let mut followed = Frames::default();
            let mut passed = 0;
            for bytes in stream.chunks(piece) {
                followed.pass(bytes);
                passed += bytes.len();
                assert_eq!(
                    followed.is_at_border(),
                    borders.contains(&passed),
                    "at {passed} by {piece}"
                );
                let next = borders.iter().find(|border| **border >= passed);
                let expected = if borders.contains(&passed) {
                    Some(0)
                } else {
                    next.map(|border| border - passed)
                };
                assert_eq!(
                    followed.up_to_border(&stream[passed..]),
                    expected,
                    "at {passed} by {piece}"
                );
            }
            assert!(!followed.is_closed());
        }
    }

    #[test]
    fn a_frame_that_does_not_end_in_what_is_there_has_no_border() {
        let mut frames = Frames::default();
        frames.pass(&[0x82, 5, 1]);
        assert_eq!(frames.up_to_border(&[2, 3, 4]), None);
        assert_eq!(frames.up_to_border(&[2, 3, 4, 5, 0x82]), Some(4));
        frames.pass(&[2, 3, 4, 5, 0x88, 0]);
        assert!(frames.is_closed());
    }
}
