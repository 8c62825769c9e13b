siltdb-manifest 4 plain 6dd5d7e1
{"version":2,"commit":"6f9b6dae6f4c57a82ac2ce17a5794a3b","parent":"491718de357e3da8cb435c8e74616796","kind":"create database","recent":[[1,"491718de357e3da8cb435c8e74616796"]]}
{"tenants":{"cnosdb":{"id":1,"databases":{"air":3640189043878601,"public":4001580682190902}}},"users":{"root":{"id":1,"password_hash":null,"admin":true}}}