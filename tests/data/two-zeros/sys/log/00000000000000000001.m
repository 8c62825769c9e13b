siltdb-manifest 3 plain ccfccd86
{"version":1,"commit":"ce7729affcbf5705a39c20d71f4bf0ad","parent":null,"kind":"begin","recent":[]}
{"tenants":{"cnosdb":{"id":1,"databases":{"public":460342556278}}},"users":{"root":{"id":1,"password_hash":null,"admin":true}}}