siltdb-manifest 3 plain a165773b
{"version":1,"commit":"cbaec4f45fb780ecc11f9473b7aee4ba","parent":null,"kind":"begin","recent":[]}
{"tenants":{"cnosdb":{"id":1,"databases":{"public":2433771087111443}}},"users":{"root":{"id":1,"password_hash":null,"admin":true}}}