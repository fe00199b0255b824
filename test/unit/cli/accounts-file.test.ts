import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAccounts } from "../../../src/cli/accounts-file.ts";

test("columns come in any order, paths are relative to the file, comments and empty lines are left out", () => {
  const text =
    'user,account,password_file,master_user\r\n# a comment\r\n\r\n"t,aro",taro@x.test,pw/taro,\r\n,hana@x.test,,admin\r\n';
  const { accounts, faults } = parseAccounts(text, "/dir");
  assert.deepEqual(faults, []);
  assert.deepEqual(accounts, [
    {
      ...{ line: 4, account: "taro@x.test", user: "t,aro", passwordFile: "/dir/pw/taro" },
      ...{ tokenFile: undefined, masterUser: undefined },
    },
    {
      ...{ line: 5, account: "hana@x.test", user: undefined, passwordFile: undefined },
      ...{ tokenFile: undefined, masterUser: "admin" },
    },
  ]);
});

test("every fault is named with its line", () => {
  const text = "account,password_file,token_file\na@x.test\n,,\nb@x.test,1,2\nc@x.test,,\nC@x.test,,\n";
  assert.deepEqual(parseAccounts(text, "/").faults, [
    "2: 1 fields, not 3",
    "3: the account is empty",
    "4: both password_file and token_file",
    '6: "C@x.test" is in line 5 already',
  ]);
});

test("a head without accounts, with unknown or doubled columns, and an open quote are faults", () => {
  assert.deepEqual(parseAccounts("", "/").faults, ["1: there is no line with column names"]);
  assert.match(
    parseAccounts("usr\n", "/").faults.join(),
    /no such column "usr".*,1: there is no column "account"/u,
  );
  assert.match(parseAccounts("account,account\n", "/").faults.join(), /twice/u);
  assert.deepEqual(parseAccounts("account\n", "/").faults, ["1: there are no accounts below it"]);
  assert.match(parseAccounts('account\n"open\n', "/").faults.join(), /^2: a quote/u);
});

test("a field in quotes may hold line ends and doubled quotes; lines are counted through it", () => {
  const { accounts, faults } = parseAccounts('account,user\na@x.test,"two\nlines ""q"""\nb@x.test,u', "/");
  assert.deepEqual(faults, []);
  assert.deepEqual(
    accounts.map(({ line, user }) => [line, user]),
    [
      [2, 'two\nlines "q"'],
      [4, "u"],
    ],
  );
});
