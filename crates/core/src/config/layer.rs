//! Settings that merge: per server, per directory (MRG-01 to MRG-10).

use ipnet::IpNet;

pub use crate::request::head_mapping::HeadMapping as MapHead;

/// A script for a hook, and its interpreter (not yet expanded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookScript {
    /// Path as written.
    pub path: String,
    /// `application-group=`.
    pub application_group: Option<String>,
}

/// WSGIHandlerScript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerScript {
    /// Handler name that activates it.
    pub name: String,
    /// Path as written.
    pub path: String,
    /// `process-group=`, not yet expanded.
    pub process_group: Option<String>,
    /// `application-group=`, not yet expanded.
    pub application_group: Option<String>,
    /// `pass-authorization=`.
    pub pass_authorization: Option<bool>,
}

/// WSGIScriptReloading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reloading {
    /// Changes are not looked for.
    Off,
    /// A script is taken up again when its file changes, a module target when the file of that module does.
    #[default]
    On,
    /// As `On`, and a module target also when the file of another loaded module of its package changes.
    Modules,
}

/// What one context says; None is "not said here", which differs from "said to be the default".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// WSGIProcessGroup.
    pub process_group: Option<String>,
    /// WSGIApplicationGroup.
    pub application_group: Option<String>,
    /// WSGIRestrictProcess; `%{GLOBAL}` is empty.
    pub restrict_process: Option<Vec<String>>,
    /// WSGICallableObject.
    pub callable_object: Option<String>,
    /// WSGIScriptReloading.
    pub script_reloading: Option<Reloading>,
    /// WSGIPassAuthorization.
    pub pass_authorization: Option<bool>,
    /// WSGIPassApacheRequest.
    pub pass_apache_request: Option<bool>,
    /// WSGIErrorOverride.
    pub error_override: Option<bool>,
    /// WSGIChunkedRequest.
    pub chunked_request: Option<bool>,
    /// WSGIMapHEADToGET.
    pub map_head_to_get: Option<MapHead>,
    /// WSGIIgnoreActivity.
    pub ignore_activity: Option<bool>,
    /// WSGIEnableSendfile.
    pub enable_sendfile: Option<bool>,
    /// WSGITrustedProxyHeaders, in environ form and order.
    pub trusted_proxy_headers: Option<Vec<String>>,
    /// WSGITrustedProxies.
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// WSGIHandlerScript, one for each name.
    pub handler_scripts: Vec<HandlerScript>,
    /// WSGIDispatchScript.
    pub dispatch_script: Option<HookScript>,
    /// WSGIAccessScript.
    pub access_script: Option<HookScript>,
    /// WSGIAuthUserScript.
    pub auth_user_script: Option<HookScript>,
    /// WSGIAuthGroupScript.
    pub auth_group_script: Option<HookScript>,
    /// WSGIGroupAuthoritative.
    pub group_authoritative: Option<bool>,
}

impl Layer {
    /// `over` on top of `base`: what the inner context says wins, value by value; lists are replaced, not joined (MRG-04), and
    /// handler scripts are united by name (MRG-07).
    pub fn merge(base: &Layer, over: &Layer) -> Layer {
        macro_rules! inner {
            ($field:ident) => {
                over.$field.clone().or_else(|| base.$field.clone())
            };
        }
        let mut handler_scripts = over.handler_scripts.clone();
        for script in &base.handler_scripts {
            if handler_scripts
                .iter()
                .all(|inner| inner.name != script.name)
            {
                handler_scripts.push(script.clone());
            }
        }
        Layer {
            process_group: inner!(process_group),
            application_group: inner!(application_group),
            restrict_process: inner!(restrict_process),
            callable_object: inner!(callable_object),
            script_reloading: inner!(script_reloading),
            pass_authorization: inner!(pass_authorization),
            pass_apache_request: inner!(pass_apache_request),
            error_override: inner!(error_override),
            chunked_request: inner!(chunked_request),
            map_head_to_get: inner!(map_head_to_get),
            ignore_activity: inner!(ignore_activity),
            enable_sendfile: inner!(enable_sendfile),
            trusted_proxy_headers: inner!(trusted_proxy_headers),
            trusted_proxies: inner!(trusted_proxies),
            handler_scripts,
            dispatch_script: inner!(dispatch_script),
            access_script: inner!(access_script),
            auth_user_script: inner!(auth_user_script),
            auth_group_script: inner!(auth_group_script),
            group_authoritative: inner!(group_authoritative),
        }
    }
}

/// What holds for a request: directory, else server, else the default (MRG-01).
#[derive(Clone, Copy, Debug)]
pub struct Effective<'a> {
    server: &'a Layer,
    directory: Option<&'a Layer>,
}

impl<'a> Effective<'a> {
    /// For a request to `server` (merged with the main server), in `directory` (all its sections merged).
    pub fn new(server: &'a Layer, directory: Option<&'a Layer>) -> Effective<'a> {
        Effective { server, directory }
    }

    fn find<T: ?Sized>(&self, field: impl Fn(&'a Layer) -> Option<&'a T>) -> Option<&'a T> {
        self.directory
            .and_then(&field)
            .or_else(|| field(self.server))
    }

    fn switch(&self, field: impl Fn(&Layer) -> Option<bool>, default: bool) -> bool {
        self.directory
            .and_then(&field)
            .or_else(|| field(self.server))
            .unwrap_or(default)
    }

    /// WSGIProcessGroup, not yet expanded.
    pub fn process_group(&self) -> Option<&'a str> {
        self.find(|layer| layer.process_group.as_deref())
    }

    /// WSGIApplicationGroup, not yet expanded.
    pub fn application_group(&self) -> Option<&'a str> {
        self.find(|layer| layer.application_group.as_deref())
    }

    /// WSGIRestrictProcess; None allows all.
    pub fn restrict_process(&self) -> Option<&'a [String]> {
        self.find(|layer| layer.restrict_process.as_deref())
    }

    /// WSGICallableObject, not yet expanded.
    pub fn callable_object(&self) -> Option<&'a str> {
        self.find(|layer| layer.callable_object.as_deref())
    }

    /// WSGIScriptReloading.
    pub fn script_reloading(&self) -> Reloading {
        let own = self.directory.and_then(|layer| layer.script_reloading);
        own.or(self.server.script_reloading).unwrap_or_default()
    }

    /// WSGIPassAuthorization.
    pub fn pass_authorization(&self) -> bool {
        self.switch(|layer| layer.pass_authorization, false)
    }

    /// WSGIPassApacheRequest.
    pub fn pass_apache_request(&self) -> bool {
        self.switch(|layer| layer.pass_apache_request, false)
    }

    /// WSGIErrorOverride.
    pub fn error_override(&self) -> bool {
        self.switch(|layer| layer.error_override, false)
    }

    /// WSGIChunkedRequest.
    pub fn chunked_request(&self) -> bool {
        self.switch(|layer| layer.chunked_request, false)
    }

    /// WSGIMapHEADToGET.
    pub fn map_head_to_get(&self) -> MapHead {
        self.directory
            .and_then(|layer| layer.map_head_to_get)
            .or(self.server.map_head_to_get)
            .unwrap_or(MapHead::Auto)
    }

    /// WSGIIgnoreActivity.
    pub fn ignore_activity(&self) -> bool {
        self.switch(|layer| layer.ignore_activity, false)
    }

    /// WSGIEnableSendfile.
    pub fn enable_sendfile(&self) -> bool {
        self.switch(|layer| layer.enable_sendfile, false)
    }

    /// WSGITrustedProxyHeaders; None or empty where none are trusted.
    pub fn trusted_proxy_headers(&self) -> &'a [String] {
        self.find(|layer| layer.trusted_proxy_headers.as_deref())
            .unwrap_or(&[])
    }

    /// WSGITrustedProxies; None trusts every peer.
    pub fn trusted_proxies(&self) -> Option<&'a [IpNet]> {
        self.find(|layer| layer.trusted_proxies.as_deref())
    }

    /// The handler script for a handler name; the inner context's where both have one (MRG-07).
    pub fn handler_script(&self, name: &str) -> Option<&'a HandlerScript> {
        let layers = self.directory.into_iter().chain([self.server]);
        layers
            .flat_map(|layer| &layer.handler_scripts)
            .find(|script| script.name == name)
    }

    /// WSGIDispatchScript.
    pub fn dispatch_script(&self) -> Option<&'a HookScript> {
        self.find(|layer| layer.dispatch_script.as_ref())
    }

    /// WSGIAccessScript.
    pub fn access_script(&self) -> Option<&'a HookScript> {
        self.find(|layer| layer.access_script.as_ref())
    }

    /// WSGIAuthUserScript.
    pub fn auth_user_script(&self) -> Option<&'a HookScript> {
        self.find(|layer| layer.auth_user_script.as_ref())
    }

    /// WSGIAuthGroupScript.
    pub fn auth_group_script(&self) -> Option<&'a HookScript> {
        self.find(|layer| layer.auth_group_script.as_ref())
    }
}

#[cfg(test)]
mod tests;
