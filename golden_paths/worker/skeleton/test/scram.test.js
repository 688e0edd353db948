import assert from "node:assert/strict";
import { test } from "node:test";

import { startScram } from "../src/postgres/scram.js";

// The exchange printed in RFC 7677, section 3.
const NONCE = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

test("the exchange of RFC 7677 comes out as it is printed there", () => {
  const scram = startScram("pencil", NONCE, "user");
  assert.equal(scram.first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  assert.equal(
    scram.answer(SERVER_FIRST),
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  );
  assert.throws(() => scram.requireProof(), /did not prove/);
  assert.throws(() => scram.verify("v=AAAAAApHdMQ6zSlxGXcuQ9gXB1ZcaFJyBpTdqhQVBlo="), /cannot prove/);
  scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  scram.requireProof();
});

for (const [what, answer] of Object.entries({
  "somebody else's nonce": "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  "our own nonce and nothing more": `r=${NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
  "rounds without end": `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999`,
  nonsense: "nonsense",
})) {
  test(`an answer with ${what} is refused`, () => {
    assert.throws(() => startScram("pencil", NONCE).answer(answer));
  });
}
