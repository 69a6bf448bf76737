//! The pcapng format: sections of blocks.

use super::{CaptureError, CapturedFrame, Reader};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
/// Block type, total length in front, total length behind.
const OVERHEAD: usize = 12;

/// Every frame of every section.
pub(super) fn read(file: &[u8]) -> Result<Vec<CapturedFrame>, CaptureError> {
    let mut r = Reader::new(file, false);
    let mut links = Vec::new();
    let mut frames = Vec::new();
    while r.rest.len() >= OVERHEAD {
        let kind = r.clone().u32()?;
        if kind == SECTION {
            r.big = section_is_big_endian(&r)?;
            links.clear();
        }
        let Some((kind, mut body)) = block(&mut r)? else { break };
        packet(kind, &mut body, &mut links, &mut frames)?;
    }
    Ok(frames)
}

fn section_is_big_endian(r: &Reader) -> Result<bool, CaptureError> {
    match r.rest.get(8..12) {
        Some([0x1a, 0x2b, 0x3c, 0x4d]) => Ok(true),
        Some([0x4d, 0x3c, 0x2b, 0x1a]) => Ok(false),
        _ => Err(CaptureError { at: r.at() + 8, what: "a section header without its byte-order magic" }),
    }
}

/// The next block; `None` where the file ends inside it.
fn block<'a>(r: &mut Reader<'a>) -> Result<Option<(u32, Reader<'a>)>, CaptureError> {
    let at = r.at();
    let kind = r.u32()?;
    let len = r.u32()? as usize;
    if len < OVERHEAD || len % 4 != 0 {
        return Err(CaptureError { at: at + 4, what: "a block length below 12 or not a multiple of 4" });
    }
    let Ok(bytes) = r.take(len - OVERHEAD) else { return Ok(None) };
    let body = Reader { rest: bytes, total: at + 8 + bytes.len(), big: r.big };
    if r.take(4).is_err() {
        return Ok(None);
    }
    Ok(Some((kind, body)))
}

fn packet(
    kind: u32,
    body: &mut Reader,
    links: &mut Vec<(u32, u32)>,
    frames: &mut Vec<CapturedFrame>,
) -> Result<(), CaptureError> {
    let (interface, len, original_len) = match kind {
        INTERFACE => {
            let link = u32::from(body.u16()?);
            body.skip(2)?;
            links.push((link, body.u32()?));
            return Ok(());
        }
        ENHANCED_PACKET => {
            let interface = body.u32()? as usize;
            body.skip(8)?;
            (interface, body.u32()?, body.u32()?)
        }
        OLD_PACKET => {
            let interface = usize::from(body.u16()?);
            body.skip(10)?;
            (interface, body.u32()?, body.u32()?)
        }
        SIMPLE_PACKET => {
            let original = body.u32()?;
            let snap = links.first().map_or(0, |l| l.1);
            (0, if snap == 0 { original } else { original.min(snap) }, original)
        }
        _ => return Ok(()),
    };
    let error = CaptureError { at: body.at(), what: "a packet of an interface that was not described" };
    let (link_type, _) = *links.get(interface).ok_or(error)?;
    frames.push(CapturedFrame { link_type, bytes: body.take(len as usize)?.to_vec(), original_len });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_of(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    }

    fn file() -> Vec<u8> {
        let section = block_of(SECTION, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        let interface = block_of(INTERFACE, &[1, 0, 0, 0, 0, 0, 4, 0]);
        let mut enhanced = vec![0; 12];
        enhanced.extend([5, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
        [section, interface, block_of(ENHANCED_PACKET, &enhanced), block_of(99, &[0; 8])].concat()
    }

    #[test]
    fn an_enhanced_packet_has_its_interface_s_link_type_and_no_padding() {
        let frames = read(&file()).unwrap();
        assert_eq!(frames, [CapturedFrame { link_type: 1, bytes: vec![1, 2, 3, 4, 5], original_len: 9 }]);
    }

    #[test]
    fn a_file_cut_anywhere_never_panics() {
        let file = file();
        for len in 0..file.len() {
            let _ = read(&file[..len]);
        }
    }
}
