// The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: both sides prove that they know
// the password, and neither says it.

import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";

export const MECHANISM = "SCRAM-SHA-256";
const MAX_ITERATIONS = 1_000_000; // more would only keep us busy

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

function attributes(message) {
  return Object.fromEntries(message.split(",").map((part) => [part[0], part.slice(2)]));
}

export function startScram(password, nonce = randomBytes(18).toString("base64"), user = "") {
  const firstBare = `n=${user},r=${nonce}`;
  let serverSignature;
  let verified = false;
  return {
    first: `n,,${firstBare}`,

    /** The proof, in answer to the server's first message. */
    answer(serverFirst) {
      const { r: bothNonces = "", s: salt = "", i: count } = attributes(serverFirst);
      const iterations = Number(count);
      if (!bothNonces.startsWith(nonce) || bothNonces === nonce || !salt) {
        throw new Error("the database's answer to the login does not belong to it");
      }
      if (!Number.isInteger(iterations) || iterations < 1 || iterations > MAX_ITERATIONS) {
        throw new Error("the database asks for an unreasonable number of rounds");
      }
      const salted = pbkdf2Sync(password.normalize("NFKC"), Buffer.from(salt, "base64"), iterations, 32, "sha256");
      const clientKey = hmac(salted, "Client Key");
      const withoutProof = `c=biws,r=${bothNonces}`;
      const everything = `${firstBare},${serverFirst},${withoutProof}`;
      const signature = hmac(createHash("sha256").update(clientKey).digest(), everything);
      serverSignature = hmac(hmac(salted, "Server Key"), everything);
      return `${withoutProof},p=${clientKey.map((byte, i) => byte ^ signature[i]).toString("base64")}`;
    },

    /** Throws unless the server knows the password as well. */
    verify(serverFinal) {
      const given = Buffer.from(attributes(serverFinal).v ?? "", "base64");
      if (!serverSignature || given.length !== serverSignature.length || !timingSafeEqual(given, serverSignature)) {
        throw new Error("the database cannot prove that it knows the password");
      }
      verified = true;
    },

    /** Throws where the server lets us in halfway through, before it has proved anything. */
    requireProof() {
      if (serverSignature && !verified) {
        throw new Error("the database did not prove that it knows the password");
      }
    },
  };
}
