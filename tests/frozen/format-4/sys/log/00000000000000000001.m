siltdb-manifest 4 plain e9cfad10
{"version":1,"commit":"491718de357e3da8cb435c8e74616796","parent":null,"kind":"begin","recent":[]}
{"tenants":{"cnosdb":{"id":1,"databases":{"public":4001580682190902}}},"users":{"root":{"id":1,"password_hash":null,"admin":true}}}