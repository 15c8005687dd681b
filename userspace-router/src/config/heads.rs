// SPDX-License-Identifier: GPL-2.0
//! `[route.heads]`: how heads are rewritten on their way.

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;
use super::route::{path, Path};
use super::value::choose_or;
use crate::http::{check_host, is_token, BadEdit, Edit, Host, NewPath, Rewrite, Style};

/// Bytes that a route may add to a head: what is rewritten must fit one command.
const ADDED_MAX: usize = 4_000;
/// And bytes of a path that it puts in.
const PATH_MAX: usize = 1_000;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct HeadsTable {
    via: Option<Spanned<String>>,
    host: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    forwarded: Option<Spanned<String>>,
    #[serde(default)]
    trust: Vec<Spanned<String>>,
    #[serde(default)]
    request_remove: Vec<Spanned<String>>,
    #[serde(default)]
    request_add: Vec<Spanned<String>>,
    #[serde(default)]
    response_remove: Vec<Spanned<String>>,
    #[serde(default)]
    response_add: Vec<Spanned<String>>,
}

/// Checks one table, into what a route says elsewhere; `matched` is the route's path.
pub(super) fn heads(
    table: &HeadsTable,
    matched: &Path,
    rewrite: &mut Rewrite,
) -> Result<(), Fault> {
    if let Some(via) = &table.via {
        let name = via.get_ref();
        if !is_token(name.as_bytes()) || name.len() > 64 {
            let text = format!("`{name}` must be a token, such as the name of this machine");
            return Err(Fault::at(via.span(), text));
        }
        rewrite.via.clone_from(name);
    }
    if let Some(host) = &table.host {
        rewrite.host = match host.get_ref().as_str() {
            "client" => Host::Client,
            "backend" => Host::Backend,
            fixed if check_host(fixed).is_ok() => Host::Fixed(fixed.to_owned()),
            other => {
                let text = format!("`{other}` must be \"client\", \"backend\", or a host");
                return Err(Fault::at(host.span(), text));
            }
        };
    }
    if let Some(value) = &table.path {
        let put = path(value)?;
        if put.len() > PATH_MAX {
            let text = format!("{} bytes are more than {PATH_MAX}", put.len());
            return Err(Fault::at(value.span(), text));
        }
        rewrite.path = Some(match matched {
            Path::Prefix(prefix) => NewPath::of_prefix(prefix, &put),
            Path::Exact(whole) => NewPath::of_whole(whole, &put),
        });
    }
    rewrite.forwarded.style = choose_or(
        &table.forwarded,
        rewrite.forwarded.style,
        &[
            ("x-forwarded", Style::XForwarded),
            ("forwarded", Style::Forwarded),
            ("both", Style::Both),
            ("none", Style::None),
        ],
    )?;
    for network in &table.trust {
        let parsed = network.get_ref().parse().map_err(|()| {
            let text = format!(
                "`{}` must be a network, such as 10.0.0.0/8, fd00::/8 or 192.0.2.1",
                network.get_ref()
            );
            Fault::at(network.span(), text)
        })?;
        rewrite.forwarded.trust.push(parsed);
    }
    edit(
        &mut rewrite.request,
        &table.request_remove,
        &table.request_add,
    )?;
    edit(
        &mut rewrite.response,
        &table.response_remove,
        &table.response_add,
    )
}

fn edit(edit: &mut Edit, remove: &[Spanned<String>], add: &[Spanned<String>]) -> Result<(), Fault> {
    for name in remove {
        edit.remove(name.get_ref())
            .map_err(|bad| fault(name, bad, "a field name"))?;
    }
    for line in add {
        let what = "a field line, such as \"X-Name: value\"";
        let (name, value) = line
            .get_ref()
            .split_once(':')
            .ok_or(BadEdit::Name)
            .map_err(|bad| fault(line, bad, what))?;
        edit.add(name, value.trim())
            .map_err(|bad| fault(line, bad, what))?;
        if edit.added() > ADDED_MAX {
            let text = format!("more than {ADDED_MAX} bytes are added to each head");
            return Err(Fault::at(line.span(), text));
        }
    }
    Ok(())
}

fn fault(value: &Spanned<String>, bad: BadEdit, what: &str) -> Fault {
    let text = match bad {
        BadEdit::Name | BadEdit::Value => {
            format!("`{}` must be {what}", value.get_ref().escape_debug())
        }
        BadEdit::NotEditable => format!(
            "`{}` frames or routes messages, or belongs to one connection: a route cannot \
             edit it",
            value.get_ref()
        ),
    };
    Fault::at(value.span(), text)
}
