siltdb-manifest 4 plain 44c02f6a
{"version":2,"commit":"37b6fc7f1cf8697c5c06a1289ef421db","parent":"85236523c694982c12b8c30fe5bfb525","kind":"create database","recent":[[1,"85236523c694982c12b8c30fe5bfb525"]]}
{"tenants":{"cnosdb":{"id":1,"databases":{"public":2920583822717456,"pub​lic":7735041104476127}}},"users":{"root":{"id":1,"password_hash":null,"admin":true}}}