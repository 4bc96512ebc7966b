// What every library does, with Node's googleapis: prints what it saw, as one line of JSON.
import { createReadStream } from "node:fs";
import { createRequire } from "node:module";

const [, , modules, tokenFile, large] = process.argv;
const { google } = createRequire(`${modules}/`)("googleapis");
const auth = new google.auth.GoogleAuth({ keyFile: tokenFile, scopes: ["https://www.googleapis.com/auth/drive"] });
const drive = google.drive({ version: "v3", auth });
const seen = {};

const { startPageToken } = (await drive.changes.getStartPageToken()).data;
const folder = (await drive.files.create({
  requestBody: { name: "inbox", mimeType: "application/vnd.google-apps.folder" },
})).data.id;
const upload = async (name, mimeType, body) =>
  (await drive.files.create({
    requestBody: { name, parents: [folder] }, media: { mimeType, body }, fields: "id,md5Checksum",
  })).data;
const small = await upload("it's small.txt", "text/plain", "as it was");
seen.large = (await upload("large.bin", "application/octet-stream", createReadStream(large))).md5Checksum;

seen.listed = [];
let pageToken;
do {
  const page = (await drive.files.list({ q: `'${folder}' in parents`, orderBy: "name", pageSize: 1, pageToken })).data;
  seen.listed.push(...page.files.map((file) => file.name));
  pageToken = page.nextPageToken;
} while (pageToken);
seen.found = (await drive.files.list({ q: "name = 'it\\'s small.txt'" })).data.files.length;

await drive.files.update({
  fileId: small.id, requestBody: { properties: { state: "changed" } }, media: { mimeType: "text/plain", body: "as it is" },
});
seen.content = (await drive.files.get({ fileId: small.id, alt: "media" }, { responseType: "text" })).data;
await drive.permissions.create({
  fileId: folder, sendNotificationEmail: false,
  requestBody: { type: "user", role: "reader", emailAddress: "bob@example.com" },
});
seen.shared = (await drive.permissions.list({ fileId: folder, fields: "permissions(emailAddress)" })).data.permissions
  .map((permission) => permission.emailAddress).sort();
await drive.files.delete({ fileId: small.id });
const changes = (await drive.changes.list({ pageToken: startPageToken })).data;
seen.removed = changes.changes.filter((change) => change.removed).map((change) => change.fileId === small.id);
seen.changes = changes.changes.length;
seen.missing = await drive.files.get({ fileId: small.id }).then(() => "", (error) => error.response.data.error.errors[0].reason);
seen.me = (await drive.about.get({ fields: "user" })).data.user.emailAddress;
console.log(JSON.stringify(seen));
