# What every library does, with Ruby's google-api-client: prints what it saw, as one line of JSON.
require "google/apis/drive_v3"
require "googleauth"
require "json"
require "stringio"

token_file, large = ARGV
drive = Google::Apis::DriveV3::DriveService.new
drive.client_options.proxy_url = ENV.fetch("HTTPS_PROXY")
drive.client.ssl_config.add_trust_ca(ENV.fetch("SSL_CERT_FILE"))
drive.authorization = Google::Auth::UserRefreshCredentials.make_creds(json_key_io: File.open(token_file))
seen = {}

start = drive.get_changes_start_page_token.start_page_token
folder = drive.create_file({ name: "inbox", mime_type: "application/vnd.google-apps.folder" }).id
upload = lambda do |name, type, source|
  drive.create_file({ name: name, parents: [folder] }, fields: "id,md5Checksum", upload_source: source, content_type: type)
end
small = upload.call("it's small.txt", "text/plain", StringIO.new("as it was")).id
seen["large"] = upload.call("large.bin", "application/octet-stream", large).md5_checksum

seen["listed"] = drive.fetch_all(items: :files) do |token|
  drive.list_files(q: "'#{folder}' in parents", order_by: "name", page_size: 1, page_token: token)
end.map(&:name)
seen["found"] = drive.list_files(q: "name = 'it\\'s small.txt'").files.size

drive.update_file(small, { properties: { state: "changed" } }, upload_source: StringIO.new("as it is"), content_type: "text/plain")
content = StringIO.new
drive.get_file(small, download_dest: content)
seen["content"] = content.string
drive.create_permission(folder, { type: "user", role: "reader", email_address: "bob@example.com" }, send_notification_email: false)
seen["shared"] = drive.list_permissions(folder, fields: "permissions(emailAddress)").permissions.map(&:email_address).sort
drive.delete_file(small)
changes = drive.list_changes(start).changes
seen["changes"] = changes.size
seen["removed"] = changes.select(&:removed).map { |change| change.file_id == small }
begin
  drive.get_file(small)
rescue Google::Apis::ClientError => error
  seen["missing"] = JSON.parse(error.body)["error"]["errors"][0]["reason"]
end
seen["me"] = drive.get_about(fields: "user").user.email_address
puts JSON.generate(seen)
