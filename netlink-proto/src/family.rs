// SPDX-License-Identifier: GPL-2.0
//! Finding the id that the running kernel gave the family: a question to the generic
//! netlink controller, sent and received by the owner of the socket.

use crate::gen::{FAMILY_NAME, FAMILY_VERSION};
use crate::refusal::Refusal;
use netlink_packet_core::{
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NlasIterator, NLA_HEADER_SIZE, NLMSG_ERROR,
    NLM_F_REQUEST,
};
use netlink_packet_generic::constants::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_VERSION, GENL_HDRLEN, GENL_ID_CTRL,
};
use netlink_packet_generic::ctrl::{nlas::GenlCtrlAttrs, GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::GenlMessage;
use std::fmt;

/// Why the family's id is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FamilyError {
    /// The kernel refused; ENOENT if the module is not loaded.
    Refused(Refusal),
    /// The module speaks this version of the family, and this crate another one.
    Version(u32),
    /// The datagram holds no answer to the question.
    NoAnswer,
}

impl fmt::Display for FamilyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(
                f,
                "the kernel has no netlink family `{FAMILY_NAME}` ({refusal}); \
                 load the module underpass"
            ),
            Self::Version(version) => write!(
                f,
                "the loaded module speaks version {version} of the netlink family \
                 `{FAMILY_NAME}`, this program version {FAMILY_VERSION}; load the module of this \
                 program's release"
            ),
            Self::NoAnswer => write!(
                f,
                "the kernel's answer does not tell the id of the netlink family `{FAMILY_NAME}`"
            ),
        }
    }
}

impl std::error::Error for FamilyError {}

/// The question, as one datagram.
pub fn request(sequence: u32) -> Vec<u8> {
    let question = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY_NAME.into())],
    });
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, question.into());
    message.finalize();
    let mut out = vec![0; message.buffer_len()];
    message.serialize(&mut out);
    out
}

/// The id, from the datagram that answers the question.
///
/// # Errors
/// The kernel's refusal, another version of the family, or anything that is not the answer.
pub fn answer(datagram: &[u8]) -> Result<u16, FamilyError> {
    let message = NetlinkBuffer::new_checked(datagram).map_err(|_| FamilyError::NoAnswer)?;
    let payload = message.payload();
    match message.message_type() {
        NLMSG_ERROR => match Refusal::read(payload, message.flags(), true) {
            Some(Some(refusal)) => Err(FamilyError::Refused(refusal)),
            _ => Err(FamilyError::NoAnswer),
        },
        GENL_ID_CTRL => {
            let attributes = payload.get(GENL_HDRLEN..).unwrap_or(&[]);
            let version = value(attributes, CTRL_ATTR_VERSION).map(u32::from_ne_bytes);
            match version.ok_or(FamilyError::NoAnswer)? {
                version if version == u32::from(FAMILY_VERSION) => {}
                other => return Err(FamilyError::Version(other)),
            }
            let id = value(attributes, CTRL_ATTR_FAMILY_ID).map(u16::from_ne_bytes);
            id.ok_or(FamilyError::NoAnswer)
        }
        _ => Err(FamilyError::NoAnswer),
    }
}

/// The value of the first attribute of that kind, if it has `N` bytes. The controller's other
/// attributes are of no interest, and newer kernels may have some that netlink-packet-generic
/// does not know and would refuse.
fn value<const N: usize>(attributes: &[u8], kind: u16) -> Option<[u8; N]> {
    let nla = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|nla| nla.kind() == kind)?;
    let length = usize::from(nla.length());
    nla.into_inner()
        .get(NLA_HEADER_SIZE..length)?
        .try_into()
        .ok()
}
