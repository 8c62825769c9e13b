siltdb-manifest 3 plain 38953712
{"version":2,"commit":"664306cf9a5bca221ca68c8fcb8cbb39","parent":"cbaec4f45fb780ecc11f9473b7aee4ba","kind":"create database","recent":[[1,"cbaec4f45fb780ecc11f9473b7aee4ba"]]}
{"tenants":{"cnosdb":{"id":1,"databases":{"air":1432015153496587,"public":2433771087111443}}},"users":{"root":{"id":1,"password_hash":null,"admin":true}}}