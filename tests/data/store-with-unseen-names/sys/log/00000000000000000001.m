siltdb-manifest 4 plain d532d0fd
{"version":1,"commit":"85236523c694982c12b8c30fe5bfb525","parent":null,"kind":"begin","recent":[]}
{"tenants":{"cnosdb":{"id":1,"databases":{"public":2920583822717456}}},"users":{"root":{"id":1,"password_hash":null,"admin":true}}}