//! Writing pcap files.
//!
//! Invariant: the same frames and times give the same bytes; every record is whole.

use std::io::{self, Write};

use sluice_frame::Frame;

/// Longest record written; longer frames are cut to it, their true length is kept beside.
pub const SNAPLEN: u32 = 262_144;

/// Writes a classic pcap file with nanosecond times, little endian on every machine.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
    records: u64,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    pub fn new(mut out: W) -> io::Result<PcapWriter<W>> {
        let mut header = [0u8; 24];
        header[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        header[4..6].copy_from_slice(&2u16.to_le_bytes());
        header[6..8].copy_from_slice(&4u16.to_le_bytes());
        header[16..20].copy_from_slice(&SNAPLEN.to_le_bytes());
        header[20..24].copy_from_slice(&u32::from(super::LINKTYPE_ETHERNET).to_le_bytes());
        out.write_all(&header)?;
        Ok(PcapWriter { out, records: 0 })
    }

    /// Writes one record.
    pub fn write(&mut self, time_ns: u64, bytes: &[u8]) -> io::Result<()> {
        let kept = bytes.get(..SNAPLEN as usize).unwrap_or(bytes);
        self.record(time_ns, kept.len() as u32, bytes.len())?;
        self.out.write_all(kept)
    }

    /// Writes one frame as a record, segment by segment.
    pub fn write_frame(&mut self, time_ns: u64, frame: &Frame) -> io::Result<()> {
        let mut left = frame.len().min(SNAPLEN as usize);
        self.record(time_ns, left as u32, frame.len())?;
        for segment in frame.segments() {
            let part = segment.get(..left).unwrap_or(segment);
            self.out.write_all(part)?;
            left -= part.len();
        }
        Ok(())
    }

    /// Records written so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Flushes and gives back what was written to.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn record(&mut self, time_ns: u64, kept: u32, whole: usize) -> io::Result<()> {
        let mut header = [0u8; 16];
        let seconds = (time_ns / 1_000_000_000) as u32;
        let fraction = (time_ns % 1_000_000_000) as u32;
        let whole = u32::try_from(whole).unwrap_or(u32::MAX);
        for (i, v) in [seconds, fraction, kept, whole].into_iter().enumerate() {
            header[4 * i..4 * i + 4].copy_from_slice(&v.to_le_bytes());
        }
        self.records += 1;
        self.out.write_all(&header)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{End, Packets};
    use super::*;
    use sluice_frame::Pool;

    #[test]
    fn what_is_written_reads_back() {
        let mut pool = Pool::new(1024, 16).unwrap();
        let long: Vec<u8> = (0..3000).map(|i| i as u8).collect();
        let frame = pool.copy_in(&long).unwrap();
        let mut w = PcapWriter::new(Vec::new()).unwrap();
        w.write(1_500_000_007, b"short").unwrap();
        w.write_frame(2_000_000_000, &frame).unwrap();
        assert_eq!(w.records(), 2);
        pool.free(frame);
        let bytes = w.into_inner().unwrap();
        let mut it = Packets::new(&bytes).unwrap();
        let got: Vec<_> = it.by_ref().map(|p| p.unwrap()).collect();
        assert_eq!(it.end(), Some(&End::Complete));
        assert_eq!((got[0].time_ns, got[0].bytes), (1_500_000_007, &b"short"[..]));
        assert_eq!((got[1].time_ns, got[1].bytes), (2_000_000_000, &long[..]));
    }

    #[test]
    fn a_record_beyond_the_limit_is_cut_and_keeps_its_length() {
        let mut w = PcapWriter::new(Vec::new()).unwrap();
        w.write(0, &vec![7; SNAPLEN as usize + 9]).unwrap();
        let bytes = w.into_inner().unwrap();
        let p = Packets::new(&bytes).unwrap().next().unwrap().unwrap();
        assert_eq!((p.bytes.len() as u32, p.wire_len), (SNAPLEN, SNAPLEN + 9));
    }
}
