//! Station: frame bytes to masked key words and header offsets.

use sluice_flow::extract::{extract_narrow_packed, extract_narrow_part, extract_wide, service_words, wide_words};
use sluice_flow::key::{NARROW_WORDS, PACKET_WORDS, SERVICE_PLACE, SERVICE_WORDS};
use sluice_flow::Key;
use sluice_frame::Frame;
use sluice_wire::{Headers, Net, PackedHeaders};

use crate::view::View;

/// Narrow words of one frame under the view's mask, with its stage in place.
#[inline(always)]
pub fn narrow(frame: &Frame, view: &View) -> ([u64; NARROW_WORDS], PackedHeaders) {
    let ([a, b, c, d, e], headers) = extract_narrow_packed(frame.head(), frame.len());
    // Word by word: a loop here is not always unrolled.
    let [ma, mb, mc, md, me] = view.narrow;
    ([a & ma, b & mb, c & mc, d & md, e & me | view.stage_word], headers)
}

/// Where one frame's headers are.
#[inline]
pub fn headers(frame: &Frame) -> PackedHeaders {
    extract_narrow_packed(frame.head(), frame.len()).1
}

/// All words of one frame under the view's mask, given its masked narrow words.
#[inline]
pub fn wide(frame: &Frame, headers: &Headers, narrow: &[u64; NARROW_WORDS], view: &View) -> [u64; PACKET_WORDS] {
    let mut words = wide_words(frame.head(), frame.len(), headers).words;
    for (w, m) in words.iter_mut().zip(&view.wide) {
        *w &= m;
    }
    words[..NARROW_WORDS].copy_from_slice(narrow);
    if matches!(headers.net, Net::Nsh | Net::Pbb) {
        place_service(frame, headers, view, &mut words);
    }
    words
}

/// Service headers are kept in words that are zero otherwise.
#[cold]
fn place_service(frame: &Frame, headers: &Headers, view: &View, words: &mut [u64; PACKET_WORDS]) {
    let mut key = Key::ZERO;
    service_words(frame.head(), headers, &mut key);
    let own = key.words[SERVICE_WORDS].iter().zip(&view.service);
    for (w, (value, mask)) in words.iter_mut().skip(SERVICE_PLACE).zip(own) {
        *w = value & mask;
    }
}

/// The whole key of a frame, for deciding.
pub fn full(frame: &Frame, view: &View) -> Key {
    let mut key = *view.base;
    fill(frame, &mut key);
    key
}

/// Writes a frame's own fields into a key.
pub fn fill(frame: &Frame, key: &mut Key) -> Headers {
    let (words, headers) = extract_narrow_part(frame.head(), frame.len());
    extract_wide(frame.head(), frame.len(), &headers, key);
    key.words[..NARROW_WORDS].copy_from_slice(&words);
    headers
}
