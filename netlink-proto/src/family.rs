// SPDX-License-Identifier: GPL-2.0
//! Finding the id that the running kernel gave the family: a question to the generic
//! netlink controller, sent and received by whoever owns the socket.

use crate::gen::FAMILY_NAME;
use crate::refusal::Refusal;
use netlink_packet_core::{
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NlasIterator, NLA_HEADER_SIZE, NLMSG_ERROR,
    NLM_F_REQUEST,
};
use netlink_packet_generic::constants::{CTRL_ATTR_FAMILY_ID, GENL_HDRLEN, GENL_ID_CTRL};
use netlink_packet_generic::ctrl::{nlas::GenlCtrlAttrs, GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::GenlMessage;
use std::fmt;

/// Why the family's id is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FamilyError {
    /// The kernel refused; ENOENT if the module is not loaded.
    Refused(Refusal),
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
/// The kernel's refusal, or anything that is not the answer.
pub fn answer(datagram: &[u8]) -> Result<u16, FamilyError> {
    // The controller's other attributes are of no interest, and newer kernels may have
    // some that netlink-packet-generic does not know and would refuse.
    let message = NetlinkBuffer::new_checked(datagram).map_err(|_| FamilyError::NoAnswer)?;
    let payload = message.payload();
    match message.message_type() {
        NLMSG_ERROR => match Refusal::read(payload, message.flags(), true) {
            Some(Some(refusal)) => Err(FamilyError::Refused(refusal)),
            _ => Err(FamilyError::NoAnswer),
        },
        GENL_ID_CTRL => NlasIterator::new(payload.get(GENL_HDRLEN..).unwrap_or(&[]))
            .map_while(Result::ok)
            .find(|nla| nla.kind() == CTRL_ATTR_FAMILY_ID)
            .and_then(|nla| {
                let length = usize::from(nla.length());
                let value = nla.into_inner().get(NLA_HEADER_SIZE..length)?;
                value.try_into().ok().map(u16::from_ne_bytes)
            })
            .ok_or(FamilyError::NoAnswer),
        _ => Err(FamilyError::NoAnswer),
    }
}
