import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDatabaseUrl, redactDatabaseUrl } from "../../../src/store/db-url.ts";

const socket = {
  hosts: ["/run/postgresql"],
  ports: [5432],
  user: "mairust",
  password: "",
  database: "mairust",
  tls: "disable",
  tlsRootFile: undefined,
};

test("parseDatabaseUrl() reads the forms that PostgreSQL documents", () => {
  assert.deepEqual(parseDatabaseUrl("postgres://mairust@/mairust?host=/run/postgresql"), socket);
  assert.deepEqual(parseDatabaseUrl("postgresql://mairust@%2Frun%2Fpostgresql/mairust"), socket);
  assert.deepEqual(parseDatabaseUrl("postgres:///mairust?host=/run/postgresql&user=mairust"), socket);
  assert.deepEqual(
    parseDatabaseUrl(
      "postgres://u:p%40ss:word@db.example.com:6543/mail?sslmode=verify-full&sslrootcert=/ca.pem",
    ),
    {
      hosts: ["db.example.com"],
      ports: [6543],
      user: "u",
      password: "p@ss:word",
      database: "mail",
      tls: "verify-full",
      tlsRootFile: "/ca.pem",
    },
  );
  assert.deepEqual(parseDatabaseUrl("postgres://u@[2001:db8::1]:5433,h2,h3:5435/d"), {
    hosts: ["2001:db8::1", "h2", "h3"],
    ports: [5433, 5432, 5435],
    user: "u",
    password: "",
    database: "d",
    tls: "prefer",
    tlsRootFile: undefined,
  });
  assert.equal(parseDatabaseUrl("postgres://u@").database, "u");
  assert.deepEqual(parseDatabaseUrl("postgres://u@").hosts, ["localhost"]);
});

test("parseDatabaseUrl() refuses what it does not understand, without the password", () => {
  for (const url of [
    "",
    "mysql://u@h/d",
    "postgres://h/d",
    "postgres://u:hunter2@h:0/d",
    "postgres://u:hunter2@h:port/d",
    "postgres://u:hunter2@h/d?sslmode=maybe",
    "postgres://u:hunter2@h/d?colour=red",
    "postgres://u:hunter2%@h/d",
  ]) {
    assert.throws(
      () => parseDatabaseUrl(url),
      (error: Error & { code?: string }) =>
        error.code === "config_invalid" && !error.message.includes("hunter2"),
      url,
    );
  }
});

test("redactDatabaseUrl() leaves no password", () => {
  assert.equal(
    redactDatabaseUrl("postgres://u:hunter2@h/d?password=hunter3&x=1"),
    "postgres://u@h/d?password=…&x=1",
  );
  assert.equal(redactDatabaseUrl("postgres://u@h/d"), "postgres://u@h/d");
});
