// What every library does, with Java's google-api-services-drive: prints what it saw, as one line of JSON.
import com.google.api.client.googleapis.GoogleUtils;
import com.google.api.client.googleapis.auth.oauth2.GoogleCredential;
import com.google.api.client.googleapis.json.GoogleJsonResponseException;
import com.google.api.client.http.ByteArrayContent;
import com.google.api.client.http.FileContent;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.api.client.json.jackson2.JacksonFactory;
import com.google.api.services.drive.Drive;
import com.google.api.services.drive.model.Change;
import com.google.api.services.drive.model.File;
import com.google.api.services.drive.model.FileList;
import com.google.api.services.drive.model.Permission;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import sun.misc.Unsafe;

class Steps {
    /** Let the library start with the client that Debian 12 packages beside it, which is older than it asks for. */
    static void agree() throws Exception {
        Field unsafeField = Unsafe.class.getDeclaredField("theUnsafe");
        unsafeField.setAccessible(true);
        Unsafe unsafe = (Unsafe) unsafeField.get(null);
        Field minor = GoogleUtils.class.getDeclaredField("MINOR_VERSION");
        if (GoogleUtils.MAJOR_VERSION == 1 && GoogleUtils.MINOR_VERSION < 32) {
            unsafe.putObject(unsafe.staticFieldBase(minor), unsafe.staticFieldOffset(minor), Integer.valueOf(32));
        }
    }

    public static void main(String[] arguments) throws Exception {
        agree();
        NetHttpTransport transport = new NetHttpTransport();
        JacksonFactory json = JacksonFactory.getDefaultInstance();
        GoogleCredential credential =
                GoogleCredential.fromStream(new FileInputStream(arguments[0]), transport, json);
        Drive drive = new Drive.Builder(transport, json, credential).setApplicationName("steps").build();
        Map<String, Object> seen = new TreeMap<>();

        String start = drive.changes().getStartPageToken().execute().getStartPageToken();
        File inbox = new File().setName("inbox").setMimeType("application/vnd.google-apps.folder");
        String folder = drive.files().create(inbox).execute().getId();
        String small = drive.files().create(
                new File().setName("it's small.txt").setParents(List.of(folder)),
                ByteArrayContent.fromString("text/plain", "as it was")).execute().getId();
        Drive.Files.Create large = drive.files().create(
                new File().setName("large.bin").setParents(List.of(folder)),
                new FileContent("application/octet-stream", new java.io.File(arguments[1])));
        large.getMediaHttpUploader().setChunkSize(5 * 1024 * 1024);
        seen.put("large", large.setFields("md5Checksum").execute().getMd5Checksum());

        List<String> listed = new ArrayList<>();
        Drive.Files.List list = drive.files().list().setQ("'" + folder + "' in parents").setOrderBy("name").setPageSize(1);
        do {
            FileList page = list.execute();
            page.getFiles().forEach(file -> listed.add(file.getName()));
            list.setPageToken(page.getNextPageToken());
        } while (list.getPageToken() != null);
        seen.put("listed", listed);
        seen.put("found", drive.files().list().setQ("name = 'it\\'s small.txt'").execute().getFiles().size());

        drive.files().update(small, new File().setProperties(Map.of("state", "changed")),
                ByteArrayContent.fromString("text/plain", "as it is")).execute();
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        drive.files().get(small).executeMediaAndDownloadTo(content);
        seen.put("content", content.toString("UTF-8"));
        Permission permission = new Permission().setType("user").setRole("reader").setEmailAddress("bob@example.com");
        drive.permissions().create(folder, permission).setSendNotificationEmail(false).execute();
        seen.put("shared", drive.permissions().list(folder).setFields("permissions(emailAddress)").execute()
                .getPermissions().stream().map(Permission::getEmailAddress).sorted().collect(Collectors.toList()));
        drive.files().delete(small).execute();
        List<Change> changes = drive.changes().list(start).execute().getChanges();
        seen.put("changes", changes.size());
        seen.put("removed", changes.stream().filter(Change::getRemoved)
                .map(change -> change.getFileId().equals(small)).collect(Collectors.toList()));
        try {
            drive.files().get(small).execute();
        } catch (GoogleJsonResponseException error) {
            seen.put("missing", error.getDetails().getErrors().get(0).getReason());
        }
        seen.put("me", drive.about().get().setFields("user").execute().getUser().getEmailAddress());
        System.out.println(json.toString(seen));
    }
}
