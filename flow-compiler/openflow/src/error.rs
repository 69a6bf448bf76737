//! The errors of the protocol: names, and the numbers each version gives them.
//!
//! Purpose: one constant per error; encode it for a version, find it from a version's numbers.
//! Invariant: where a version has no number for an error, one that says so is sent in its place.
//! Deliberately does not know: messages. Numbers: the OpenFlow specifications and the registered
//! extensions of Nicira (0x2320) and the ONF (0x4f4e4600).

use crate::version::Version;

/// Experimenter id of Nicira's extensions.
pub const NICIRA: u32 = 0x0000_2320;
/// Experimenter id of the ONF's extensions.
pub const ONF: u32 = 0x4f4e_4600;

/// A known error: an index into the table of errors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfpError(u8);

/// The numbers of one error in a range of versions (1.`first` to 1.`last`).
struct Numbers {
    first: u8,
    last: u8,
    code: ErrorCode,
}

/// What identifies an error in a message of one version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ErrorCode {
    /// 0 for the standard's own, else an experimenter id.
    pub vendor: u32,
    /// Error type; 0 for experimenter errors that have just a code.
    pub kind: u16,
    /// Error code.
    pub code: u16,
}

const fn numbers(first: u8, last: u8, vendor: u32, kind: u16, code: u16) -> Numbers {
    Numbers { first, last, code: ErrorCode { vendor, kind, code } }
}
const fn of(first: u8, last: u8, kind: u16, code: u16) -> Numbers {
    numbers(first, last, 0, kind, code)
}
const fn nx(first: u8, last: u8, kind: u16, code: u16) -> Numbers {
    numbers(first, last, NICIRA, kind, code)
}
const fn nxx(first: u8, last: u8, code: u16) -> Numbers {
    numbers(first, last, NICIRA, 0, code)
}
const fn onfx(first: u8, last: u8, code: u16) -> Numbers {
    numbers(first, last, ONF, 0, code)
}

impl OfpError {
    /// The name as it is printed: `OFPBMC_BAD_PREREQ`.
    pub fn name(self) -> &'static str {
        ERRORS.get(self.0 as usize).map_or("?", |e| e.0)
    }

    /// Every known error.
    pub fn all() -> impl Iterator<Item = OfpError> {
        (0..ERRORS.len() as u8).map(OfpError)
    }

    /// By its name.
    pub fn by_name(name: &str) -> Option<OfpError> {
        OfpError::all().find(|e| e.name() == name)
    }

    /// Its numbers in a version, or `None` where that version cannot say it.
    pub fn code_in(self, version: Version) -> Option<ErrorCode> {
        let minor = version.wire() - 1;
        let (_, numbers) = ERRORS.get(self.0 as usize)?;
        numbers.iter().find(|n| n.first <= minor && minor <= n.last).map(|n| n.code)
    }

    /// Its numbers in a version, or those of [`OfpError::NXBRC_UNENCODABLE_ERROR`].
    pub fn code_or_unencodable(self, version: Version) -> ErrorCode {
        const LAST_RESORT: ErrorCode = ErrorCode { vendor: NICIRA, kind: 1, code: 521 };
        self.code_in(version)
            .or_else(|| OfpError::NXBRC_UNENCODABLE_ERROR.code_in(version))
            .unwrap_or(LAST_RESORT)
    }

    /// The error that has these numbers in a version; the first named where two share them.
    pub fn from_code(version: Version, code: ErrorCode) -> Option<OfpError> {
        OfpError::all().find(|e| e.code_in(version) == Some(code))
    }
}

impl std::fmt::Debug for OfpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Display for OfpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for OfpError {}

macro_rules! errors {
    ($($name:ident: $numbers:expr;)*) => {
        /// Positions in the table, for the constants below.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum Position { $($name),* }

        #[allow(missing_docs)]
        impl OfpError {
            $(pub const $name: OfpError = OfpError(Position::$name as u8);)*
        }

        static ERRORS: &[(&str, &[Numbers])] = &[$((stringify!($name), &$numbers)),*];
    };
}

errors! {
    OFPHFC_INCOMPATIBLE: [of(0, 5, 0, 0)];
    OFPHFC_EPERM: [of(0, 5, 0, 1)];
    OFPBRC_BAD_VERSION: [of(0, 5, 1, 0)];
    OFPBRC_BAD_TYPE: [of(0, 5, 1, 1)];
    OFPBRC_BAD_STAT: [of(0, 5, 1, 2)];
    OFPBRC_BAD_VENDOR: [of(0, 5, 1, 3)];
    OFPBRC_BAD_SUBTYPE: [of(0, 5, 1, 4)];
    OFPBRC_EPERM: [of(0, 5, 1, 5)];
    OFPBRC_BAD_LEN: [of(0, 5, 1, 6)];
    OFPBRC_BUFFER_EMPTY: [of(0, 5, 1, 7)];
    OFPBRC_BUFFER_UNKNOWN: [of(0, 5, 1, 8)];
    OFPBRC_BAD_TABLE_ID: [nx(0, 0, 1, 512), of(1, 5, 1, 9)];
    OFPBRC_IS_SECONDARY: [of(0, 1, 1, 5), of(2, 5, 1, 10)];
    OFPBRC_BAD_PORT: [nx(0, 1, 1, 514), of(2, 5, 1, 11)];
    OFPBRC_BAD_PACKET: [of(2, 5, 1, 12)];
    OFPBRC_MULTIPART_BUFFER_OVERFLOW: [of(3, 5, 1, 13)];
    OFPBRC_MULTIPART_REQUEST_TIMEOUT: [onfx(3, 3, 2640), of(4, 5, 1, 14)];
    OFPBRC_MULTIPART_REPLY_TIMEOUT: [onfx(3, 3, 2641), of(4, 5, 1, 15)];
    OFPBRC_MULTIPART_BAD_SCHED: [of(5, 5, 1, 16)];
    OFPBRC_PIPELINE_FIELDS_ONLY: [of(5, 5, 1, 17)];
    OFPBRC_UNKNOWN: [of(5, 5, 1, 18)];
    NXBRC_NXM_INVALID: [nx(0, 1, 1, 256), nxx(2, 5, 2)];
    NXBRC_NXM_BAD_TYPE: [nx(0, 1, 1, 257), nxx(2, 5, 3)];
    NXBRC_MUST_BE_ZERO: [nx(0, 1, 1, 515), nxx(2, 5, 4)];
    NXBRC_BAD_REASON: [nx(0, 1, 1, 516), nxx(2, 5, 5)];
    NXBRC_FM_BAD_EVENT: [nx(0, 1, 1, 520), nxx(2, 5, 9)];
    NXBRC_UNENCODABLE_ERROR: [nx(0, 1, 1, 521), nxx(2, 5, 10)];
    OFPBAC_BAD_TYPE: [of(0, 5, 2, 0)];
    OFPBAC_BAD_LEN: [of(0, 5, 2, 1)];
    OFPBAC_BAD_VENDOR: [of(0, 5, 2, 2)];
    OFPBAC_BAD_VENDOR_TYPE: [of(0, 5, 2, 3)];
    OFPBAC_BAD_OUT_PORT: [of(0, 5, 2, 4)];
    OFPBAC_BAD_ARGUMENT: [of(0, 5, 2, 5)];
    OFPBAC_EPERM: [of(0, 5, 2, 6)];
    OFPBAC_TOO_MANY: [of(0, 5, 2, 7)];
    OFPBAC_BAD_QUEUE: [of(0, 5, 2, 8)];
    OFPBAC_BAD_OUT_GROUP: [nx(0, 0, 2, 9), of(1, 5, 2, 9)];
    OFPBAC_MATCH_INCONSISTENT: [nx(0, 0, 1, 522), of(1, 5, 2, 10)];
    OFPBAC_UNSUPPORTED_ORDER: [of(1, 5, 2, 11)];
    OFPBAC_BAD_TAG: [of(1, 5, 2, 12)];
    OFPBAC_BAD_SET_TYPE: [nx(0, 1, 1, 523), of(2, 5, 2, 13)];
    OFPBAC_BAD_SET_LEN: [nx(0, 1, 1, 524), of(2, 5, 2, 14)];
    OFPBAC_BAD_SET_ARGUMENT: [nx(0, 1, 1, 525), of(2, 5, 2, 15)];
    OFPBAC_BAD_SET_MASK: [onfx(3, 4, 4250), of(5, 5, 2, 16)];
    OFPBAC_BAD_METER: [of(5, 5, 2, 17)];
    NXBAC_MUST_BE_ZERO: [nx(0, 1, 2, 256), nxx(2, 5, 11)];
    NXBAC_BAD_CONJUNCTION: [nx(0, 1, 2, 526), nxx(2, 5, 15)];
    NXBAC_BAD_HEADER_TYPE: [nxx(3, 5, 39)];
    NXBAC_UNKNOWN_ED_PROP: [nxx(3, 5, 40)];
    NXBAC_BAD_ED_PROP: [nxx(3, 5, 41)];
    NXBAC_CT_DATAPATH_SUPPORT: [nx(0, 1, 1, 265), nxx(2, 5, 42)];
    OFPBIC_UNKNOWN_INST: [of(1, 5, 3, 0)];
    OFPBIC_UNSUP_INST: [nx(0, 0, 2, 257), of(1, 5, 3, 1)];
    OFPBIC_BAD_TABLE_ID: [of(1, 5, 3, 2)];
    OFPBIC_UNSUP_METADATA: [of(1, 5, 3, 3)];
    OFPBIC_UNSUP_METADATA_MASK: [of(1, 5, 3, 4)];
    OFPBIC_BAD_EXPERIMENTER: [of(1, 5, 3, 5)];
    OFPBIC_BAD_EXP_TYPE: [of(1, 1, 3, 5), of(2, 5, 3, 6)];
    OFPBIC_BAD_LEN: [of(2, 5, 3, 7)];
    OFPBIC_EPERM: [of(2, 5, 3, 8)];
    OFPBIC_DUP_INST: [nx(1, 1, 3, 256), onfx(2, 3, 2600), of(4, 5, 3, 9)];
    OFPBMC_BAD_TYPE: [of(1, 5, 4, 0)];
    OFPBMC_BAD_LEN: [of(1, 5, 4, 1)];
    OFPBMC_BAD_TAG: [of(1, 5, 4, 2)];
    OFPBMC_BAD_DL_ADDR_MASK: [of(1, 5, 4, 3)];
    OFPBMC_BAD_NW_ADDR_MASK: [of(1, 5, 4, 4)];
    OFPBMC_BAD_WILDCARDS: [nx(0, 0, 1, 262), of(1, 5, 4, 5)];
    OFPBMC_BAD_FIELD: [nx(0, 0, 0, 263), of(1, 5, 4, 6)];
    OFPBMC_BAD_VALUE: [nx(0, 0, 1, 258), of(1, 5, 4, 7)];
    OFPBMC_BAD_MASK: [nx(0, 1, 1, 259), of(2, 5, 4, 8)];
    OFPBMC_BAD_PREREQ: [nx(0, 1, 1, 260), of(2, 5, 4, 9)];
    OFPBMC_DUP_FIELD: [nx(0, 1, 1, 261), of(2, 5, 4, 10)];
    OFPBMC_EPERM: [of(2, 5, 4, 11)];
    NXBMC_CT_DATAPATH_SUPPORT: [nx(0, 1, 1, 264), nxx(2, 5, 43)];
    OFPFMFC_UNKNOWN: [of(1, 5, 5, 0)];
    OFPFMFC_TABLE_FULL: [of(0, 0, 3, 0), of(1, 5, 5, 1)];
    OFPFMFC_BAD_TABLE_ID: [of(1, 5, 5, 2)];
    OFPFMFC_OVERLAP: [of(0, 0, 3, 1), of(1, 5, 5, 3)];
    OFPFMFC_EPERM: [of(0, 0, 3, 2), of(1, 5, 5, 4)];
    OFPFMFC_BAD_TIMEOUT: [of(1, 5, 5, 5)];
    OFPFMFC_BAD_EMERG_TIMEOUT: [of(0, 0, 3, 3)];
    OFPFMFC_BAD_COMMAND: [of(0, 0, 3, 4), of(1, 5, 5, 6)];
    OFPFMFC_BAD_FLAGS: [nx(0, 0, 3, 258), nx(1, 1, 5, 258), of(2, 5, 5, 7)];
    OFPFMFC_CANT_SYNC: [of(4, 5, 5, 8)];
    OFPFMFC_BAD_PRIORITY: [onfx(3, 3, 2360), of(4, 5, 5, 9)];
    OFPFMFC_IS_SYNC: [of(4, 5, 5, 10)];
    OFPFMFC_UNSUPPORTED: [of(0, 0, 3, 5)];
    NXFMFC_HARDWARE: [nx(0, 1, 5, 256), nxx(2, 5, 12)];
    NXFMFC_BAD_TABLE_ID: [nx(0, 1, 5, 257), nxx(2, 5, 13)];
    NXFMFC_INVALID_TLV_FIELD: [nx(0, 1, 1, 536), nxx(2, 5, 37)];
    OFPGMFC_GROUP_EXISTS: [nx(0, 0, 6, 0), of(1, 5, 6, 0)];
    OFPGMFC_INVALID_GROUP: [nx(0, 0, 6, 1), of(1, 5, 6, 1)];
    OFPGMFC_WEIGHT_UNSUPPORTED: [nx(0, 0, 6, 2), of(1, 5, 6, 2)];
    OFPGMFC_OUT_OF_GROUPS: [nx(0, 0, 6, 3), of(1, 5, 6, 3)];
    OFPGMFC_OUT_OF_BUCKETS: [nx(0, 0, 6, 4), of(1, 5, 6, 4)];
    OFPGMFC_CHAINING_UNSUPPORTED: [nx(0, 0, 6, 5), of(1, 5, 6, 5)];
    OFPGMFC_WATCH_UNSUPPORTED: [nx(0, 0, 6, 6), of(1, 5, 6, 6)];
    OFPGMFC_LOOP: [nx(0, 0, 6, 7), of(1, 5, 6, 7)];
    OFPGMFC_UNKNOWN_GROUP: [nx(0, 0, 6, 8), of(1, 5, 6, 8)];
    OFPGMFC_CHAINED_GROUP: [nx(0, 0, 6, 9), of(2, 5, 6, 9)];
    OFPGMFC_BAD_TYPE: [nx(0, 0, 6, 10), of(2, 5, 6, 10)];
    OFPGMFC_BAD_COMMAND: [nx(0, 0, 6, 11), of(2, 5, 6, 11)];
    OFPGMFC_BAD_BUCKET: [nx(0, 0, 6, 12), of(2, 5, 6, 12)];
    OFPGMFC_BAD_WATCH: [nx(0, 0, 6, 13), of(2, 5, 6, 13)];
    OFPGMFC_EPERM: [nx(0, 0, 6, 14), of(2, 5, 6, 14)];
    OFPGMFC_UNKNOWN_BUCKET: [nx(0, 0, 6, 15), of(5, 5, 6, 15)];
    OFPGMFC_BUCKET_EXISTS: [nx(0, 0, 6, 16), of(5, 5, 6, 16)];
    OFPPMFC_BAD_PORT: [of(0, 0, 4, 0), of(1, 5, 7, 0)];
    OFPPMFC_BAD_HW_ADDR: [of(0, 0, 4, 1), of(1, 5, 7, 1)];
    OFPPMFC_BAD_CONFIG: [of(1, 5, 7, 2)];
    OFPPMFC_BAD_ADVERTISE: [of(1, 5, 7, 3)];
    OFPPMFC_EPERM: [of(2, 5, 7, 4)];
    OFPTMFC_BAD_TABLE: [of(1, 5, 8, 0)];
    OFPTMFC_BAD_CONFIG: [of(1, 5, 8, 1)];
    OFPTMFC_EPERM: [of(2, 5, 8, 2)];
    OFPQOFC_BAD_PORT: [of(0, 0, 5, 0), of(1, 5, 9, 0)];
    OFPQOFC_BAD_QUEUE: [of(0, 0, 5, 1), of(1, 5, 9, 1)];
    OFPQOFC_EPERM: [of(0, 0, 5, 2), of(1, 5, 9, 2)];
    NXQOFC_QUEUE_ERROR: [nxx(4, 5, 23)];
    OFPSCFC_BAD_FLAGS: [of(1, 5, 10, 0)];
    OFPSCFC_BAD_LEN: [of(1, 5, 10, 1)];
    OFPSCFC_EPERM: [of(2, 5, 10, 2)];
    OFPRRFC_STALE: [of(2, 5, 11, 0)];
    OFPRRFC_UNSUP: [of(2, 5, 11, 1)];
    OFPRRFC_BAD_ROLE: [nx(0, 1, 1, 513), of(2, 5, 11, 2)];
    OFPRRFC_ID_UNSUP: [of(5, 5, 11, 3)];
    OFPRRFC_ID_IN_USE: [of(5, 5, 11, 4)];
    OFPMMFC_UNKNOWN: [of(3, 5, 12, 0)];
    OFPMMFC_METER_EXISTS: [of(3, 5, 12, 1)];
    OFPMMFC_INVALID_METER: [of(3, 5, 12, 2)];
    OFPMMFC_UNKNOWN_METER: [of(3, 5, 12, 3)];
    OFPMMFC_BAD_COMMAND: [of(3, 5, 12, 4)];
    OFPMMFC_BAD_FLAGS: [of(3, 5, 12, 5)];
    OFPMMFC_BAD_RATE: [of(3, 5, 12, 6)];
    OFPMMFC_BAD_BURST: [of(3, 5, 12, 7)];
    OFPMMFC_BAD_BAND: [of(3, 5, 12, 8)];
    OFPMMFC_BAD_BAND_VALUE: [of(3, 5, 12, 9)];
    OFPMMFC_OUT_OF_METERS: [of(3, 5, 12, 10)];
    OFPMMFC_OUT_OF_BANDS: [of(3, 5, 12, 11)];
    OFPTFFC_BAD_TABLE: [of(3, 5, 13, 0)];
    OFPTFFC_BAD_METADATA: [of(3, 5, 13, 1)];
    OFPTFFC_EPERM: [of(3, 5, 13, 5)];
    OFPTFFC_BAD_CAPA: [of(5, 5, 13, 6)];
    OFPTFFC_BAD_MAX_ENT: [of(5, 5, 13, 7)];
    OFPTFFC_BAD_FEATURES: [of(5, 5, 13, 8)];
    OFPTFFC_BAD_COMMAND: [of(5, 5, 13, 9)];
    OFPTFFC_TOO_MANY: [of(5, 5, 13, 10)];
    NXTFFC_DUP_TABLE: [nxx(3, 5, 44)];
    OFPBPC_BAD_TYPE: [nx(0, 1, 13, 2), nxx(2, 2, 25), of(3, 3, 13, 2), of(4, 5, 14, 0)];
    OFPBPC_BAD_LEN: [nx(0, 1, 13, 3), nxx(2, 2, 26), of(3, 3, 13, 3), of(4, 5, 14, 1)];
    OFPBPC_BAD_VALUE: [nx(0, 1, 13, 4), nxx(2, 2, 27), of(3, 3, 13, 4), of(4, 5, 14, 2)];
    OFPBPC_TOO_MANY: [nx(0, 1, 14, 3), nxx(2, 2, 28), onfx(3, 3, 4443), of(4, 5, 14, 3)];
    OFPBPC_DUP_TYPE: [nx(0, 1, 14, 4), nxx(2, 2, 29), onfx(3, 3, 4444), of(4, 5, 14, 4)];
    OFPBPC_BAD_EXPERIMENTER: [nx(0, 1, 14, 5), nxx(2, 2, 30), onfx(3, 3, 4445), of(4, 5, 14, 5)];
    OFPBPC_BAD_EXP_TYPE: [nx(0, 1, 14, 6), nxx(2, 2, 31), onfx(3, 3, 4446), of(4, 5, 14, 6)];
    OFPBPC_BAD_EXP_VALUE: [nx(0, 1, 14, 7), nxx(2, 2, 32), onfx(3, 3, 4447), of(4, 5, 14, 7)];
    OFPBPC_EPERM: [nx(0, 1, 14, 8), nxx(2, 2, 33), onfx(3, 3, 4448), of(4, 5, 14, 8)];
    OFPACFC_INVALID: [onfx(3, 3, 2370), of(4, 5, 15, 0)];
    OFPACFC_UNSUPPORTED: [onfx(3, 3, 2371), of(4, 5, 15, 1)];
    OFPACFC_EPERM: [onfx(3, 3, 2372), of(4, 5, 15, 2)];
    OFPBFC_UNKNOWN: [onfx(3, 3, 2300), of(4, 5, 17, 0)];
    OFPBFC_EPERM: [onfx(3, 3, 2301), of(4, 5, 17, 1)];
    OFPBFC_BAD_ID: [onfx(3, 3, 2302), of(4, 5, 17, 2)];
    OFPBFC_BUNDLE_EXIST: [onfx(3, 3, 2303), of(4, 5, 17, 3)];
    OFPBFC_BUNDLE_CLOSED: [onfx(3, 3, 2304), of(4, 5, 17, 4)];
    OFPBFC_OUT_OF_BUNDLES: [onfx(3, 3, 2305), of(4, 5, 17, 5)];
    OFPBFC_BAD_TYPE: [onfx(3, 3, 2306), of(4, 5, 17, 6)];
    OFPBFC_BAD_FLAGS: [onfx(3, 3, 2307), of(4, 5, 17, 7)];
    OFPBFC_MSG_BAD_LEN: [onfx(3, 3, 2308), of(4, 5, 17, 8)];
    OFPBFC_MSG_BAD_XID: [onfx(3, 3, 2309), of(4, 5, 17, 9)];
    OFPBFC_MSG_UNSUP: [onfx(3, 3, 2310), of(4, 5, 17, 10)];
    OFPBFC_MSG_CONFLICT: [onfx(3, 3, 2311), of(4, 5, 17, 11)];
    OFPBFC_MSG_TOO_MANY: [onfx(3, 3, 2312), of(4, 5, 17, 12)];
    OFPBFC_MSG_FAILED: [onfx(3, 3, 2313), of(4, 5, 17, 13)];
    OFPBFC_TIMEOUT: [onfx(3, 3, 2314), of(4, 5, 17, 14)];
    OFPBFC_BUNDLE_IN_PROGRESS: [onfx(3, 3, 2315), of(4, 5, 17, 15)];
    OFPBFC_SCHED_NOT_SUPPORTED: [of(5, 5, 17, 16)];
    OFPBFC_SCHED_FUTURE: [of(5, 5, 17, 17)];
    OFPBFC_SCHED_PAST: [of(5, 5, 17, 18)];
    OFPBFC_BAD_VERSION: [nxx(4, 5, 22)];
    OFPMOFC_UNKNOWN: [of(4, 5, 16, 0)];
    OFPMOFC_MONITOR_EXISTS: [nx(0, 1, 1, 517), nxx(2, 3, 6), of(4, 5, 16, 1)];
    OFPMOFC_INVALID_MONITOR: [of(4, 5, 16, 2)];
    OFPMOFC_UNKNOWN_MONITOR: [nx(0, 1, 1, 519), nxx(2, 3, 8), of(4, 5, 16, 3)];
    OFPMOFC_BAD_COMMAND: [of(4, 5, 16, 4)];
    OFPMOFC_BAD_FLAGS: [nx(0, 1, 1, 518), nxx(2, 3, 7), of(4, 5, 16, 5)];
    OFPMOFC_BAD_TABLE_ID: [of(4, 5, 16, 6)];
    OFPMOFC_BAD_OUT: [of(4, 5, 16, 7)];
    NXTTMFC_BAD_COMMAND: [nx(0, 1, 1, 527), nxx(2, 5, 16)];
    NXTTMFC_BAD_OPT_LEN: [nx(0, 1, 1, 528), nxx(2, 5, 17)];
    NXTTMFC_BAD_FIELD_IDX: [nx(0, 1, 1, 529), nxx(2, 5, 18)];
    NXTTMFC_TABLE_FULL: [nx(0, 1, 1, 530), nxx(2, 5, 19)];
    NXTTMFC_ALREADY_MAPPED: [nx(0, 1, 1, 531), nxx(2, 5, 20)];
    NXTTMFC_DUP_ENTRY: [nx(0, 1, 1, 532), nxx(2, 5, 21)];
    NXTTMFC_INVALID_TLV_DEL: [nx(0, 1, 1, 537), nxx(2, 5, 38)];
    NXR_NOT_SUPPORTED: [nx(0, 1, 1, 533), nxx(2, 5, 34)];
    NXR_STALE: [nx(0, 1, 1, 534), nxx(2, 5, 35)];
    NXST_NOT_CONFIGURED: [nx(0, 1, 1, 535), nxx(2, 5, 36)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prerequisite_error_has_other_numbers_in_each_version() {
        let e = OfpError::OFPBMC_BAD_PREREQ;
        let nicira = ErrorCode { vendor: NICIRA, kind: 1, code: 260 };
        assert_eq!(e.code_in(Version::V10), Some(nicira));
        assert_eq!(e.code_in(Version::V13), Some(ErrorCode { vendor: 0, kind: 4, code: 9 }));
        assert_eq!(OfpError::from_code(Version::V10, nicira), Some(e));
        assert_eq!(e.name(), "OFPBMC_BAD_PREREQ");
    }

    #[test]
    fn every_number_leads_back_to_an_error_with_the_same_number() {
        for v in Version::ALL {
            for e in OfpError::all() {
                if let Some(code) = e.code_in(v) {
                    let back = OfpError::from_code(v, code).expect("known");
                    assert_eq!(back.code_in(v), Some(code), "{e} in {v:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_version_cannot_say_is_said_to_be_unencodable() {
        let code = OfpError::OFPMMFC_BAD_RATE.code_or_unencodable(Version::V10);
        assert_eq!(code, ErrorCode { vendor: NICIRA, kind: 1, code: 521 });
    }
}
