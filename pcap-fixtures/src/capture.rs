//! A small reader of pcap and pcapng and a writer of pcap.
//!
//! Purpose: an implementation that shares nothing with the ports' own, so that tests can hold the two
//! against each other.
//! Invariant: a damaged file gives the frames before the damage, or an error that names the offset.
//! Deliberately does not know: time stamps, comments, name resolution.

mod ng;

/// Link type of Ethernet in both file formats.
pub const LINK_ETHERNET: u32 = 1;

/// One frame of a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapturedFrame {
    /// Link type (1 = Ethernet).
    pub link_type: u32,
    /// The bytes that were captured.
    pub bytes: Vec<u8>,
    /// Bytes the frame had on the wire.
    pub original_len: u32,
}

/// Why a file is not a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaptureError {
    /// Offset in the file, bytes.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl std::fmt::Display for CaptureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "offset {}: {}", self.at, self.what)
    }
}

impl std::error::Error for CaptureError {}

/// Every frame of a pcap or pcapng file. A file that ends inside a frame loses that frame only.
pub fn read_capture(file: &[u8]) -> Result<Vec<CapturedFrame>, CaptureError> {
    match file.first_chunk::<4>() {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => ng::read(file),
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] | [0xa1, 0xb2, 0xcd, 0x34]) => classic(Reader::new(file, true)),
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] | [0x34, 0xcd, 0xb2, 0xa1]) => classic(Reader::new(file, false)),
        _ => Err(CaptureError { at: 0, what: "neither pcap nor pcapng: expected one of their magic numbers" }),
    }
}

fn classic(mut r: Reader) -> Result<Vec<CapturedFrame>, CaptureError> {
    let magic = r.u32()?;
    // Alexey Kuznetsov's variant has eight more bytes in each record header.
    let extra = if magic == 0xa1b2_cd34 { 8 } else { 0 };
    r.skip(16)?;
    let link_type = r.u32()? & 0x0fff_ffff;
    let mut frames = Vec::new();
    while let Ok(frame) = classic_record(&mut r, link_type, extra) {
        frames.push(frame);
    }
    Ok(frames)
}

fn classic_record(r: &mut Reader, link_type: u32, extra: usize) -> Result<CapturedFrame, CaptureError> {
    r.skip(8)?;
    let len = r.u32()?;
    let original_len = r.u32()?;
    r.skip(extra)?;
    Ok(CapturedFrame { link_type, bytes: r.take(len as usize)?.to_vec(), original_len })
}

/// A pcap file of Ethernet frames, one microsecond apart from 0 on.
pub fn write_pcap<F: AsRef<[u8]>>(frames: &[F]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4u32.to_be_bytes());
    file.extend([0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0]);
    file.extend(LINK_ETHERNET.to_be_bytes());
    for (i, frame) in frames.iter().enumerate() {
        let bytes = frame.as_ref();
        file.extend((i as u32 / 1_000_000).to_be_bytes());
        file.extend((i as u32 % 1_000_000).to_be_bytes());
        file.extend((bytes.len() as u32).to_be_bytes());
        file.extend((bytes.len() as u32).to_be_bytes());
        file.extend(bytes);
    }
    file
}

/// Integers of one byte order, from the front of a file.
#[derive(Clone)]
struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    big: bool,
}

impl<'a> Reader<'a> {
    fn new(file: &'a [u8], big: bool) -> Self {
        Reader { rest: file, total: file.len(), big }
    }

    fn at(&self) -> usize {
        self.total - self.rest.len()
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], CaptureError> {
        let error = CaptureError { at: self.at(), what: "the file ends here, inside a record" };
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(error)?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip(&mut self, n: usize) -> Result<(), CaptureError> {
        self.take(n).map(|_| ())
    }

    fn u16(&mut self) -> Result<u16, CaptureError> {
        let mut b = [0; 2];
        b.copy_from_slice(self.take(2)?);
        Ok(if self.big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    }

    fn u32(&mut self) -> Result<u32, CaptureError> {
        let mut b = [0; 4];
        b.copy_from_slice(self.take(4)?);
        Ok(if self.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let frames = [vec![1u8; 60], vec![], vec![7u8; 9000]];
        let back = read_capture(&write_pcap(&frames)).unwrap();
        assert_eq!(back.len(), 3);
        for (a, b) in frames.iter().zip(&back) {
            assert_eq!((a, LINK_ETHERNET), (&b.bytes, b.link_type));
        }
    }

    #[test]
    fn a_file_cut_anywhere_gives_an_error_or_fewer_frames() {
        let file = write_pcap(&[[5u8; 20], [6u8; 20]]);
        for len in 0..file.len() {
            let frames = read_capture(&file[..len]).map_or(0, |f| f.len());
            assert_eq!(frames, len.saturating_sub(24) / 36);
        }
    }
}
