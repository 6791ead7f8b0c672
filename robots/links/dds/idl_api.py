"""Messages of the vendor's remote calls: module and fields in wire order, in the notation of `idl.py`.

Source: the message definitions published with unitree_sdk2.
"""

from __future__ import annotations

MODULE = "unitree_api.msg.dds_"
TABLES = {
    "RequestIdentity_": "id i64, api_id i64",
    "RequestLease_": "id i64",
    "RequestPolicy_": "priority i32, noreply bool",
    "RequestHeader_": "identity RequestIdentity_, lease RequestLease_, policy RequestPolicy_",
    "Request_": "header RequestHeader_, parameter string, binary b[]",
    "ResponseStatus_": "code i32",
    "ResponseHeader_": "identity RequestIdentity_, status ResponseStatus_",
    "Response_": "header ResponseHeader_, data string, binary b[]",
}
