// What every library does, with Go's google.golang.org/api: prints what it saw, as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"strings"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ctx := context.Background()
	tokenFile, err := os.ReadFile(os.Args[1])
	check(err)
	credentials, err := google.CredentialsFromJSON(ctx, tokenFile, drive.DriveScope)
	check(err)
	service, err := drive.NewService(ctx, option.WithTokenSource(credentials.TokenSource))
	check(err)
	seen := map[string]interface{}{}

	start, err := service.Changes.GetStartPageToken().Do()
	check(err)
	folder, err := service.Files.Create(&drive.File{Name: "inbox", MimeType: "application/vnd.google-apps.folder"}).Do()
	check(err)
	small, err := service.Files.Create(&drive.File{Name: "it's small.txt", Parents: []string{folder.Id}}).
		Media(strings.NewReader("as it was"), googleapi.ContentType("text/plain")).Do()
	check(err)
	content, err := os.Open(os.Args[2])
	check(err)
	large, err := service.Files.Create(&drive.File{Name: "large.bin", Parents: []string{folder.Id}}).
		Media(content, googleapi.ChunkSize(googleapi.MinUploadChunkSize*20)).Fields("md5Checksum").Do()
	check(err)
	seen["large"] = large.Md5Checksum

	listed := []string{}
	check(service.Files.List().Q(fmt.Sprintf("'%s' in parents", folder.Id)).OrderBy("name").PageSize(1).
		Pages(ctx, func(page *drive.FileList) error {
			for _, file := range page.Files {
				listed = append(listed, file.Name)
			}
			return nil
		}))
	seen["listed"] = listed
	found, err := service.Files.List().Q(`name = 'it\'s small.txt'`).Do()
	check(err)
	seen["found"] = len(found.Files)

	_, err = service.Files.Update(small.Id, &drive.File{Properties: map[string]string{"state": "changed"}}).
		Media(strings.NewReader("as it is"), googleapi.ContentType("text/plain")).Do()
	check(err)
	answer, err := service.Files.Get(small.Id).Download()
	check(err)
	body, err := io.ReadAll(answer.Body)
	check(err)
	seen["content"] = string(body)
	_, err = service.Permissions.Create(folder.Id,
		&drive.Permission{Type: "user", Role: "reader", EmailAddress: "bob@example.com"}).SendNotificationEmail(false).Do()
	check(err)
	permissions, err := service.Permissions.List(folder.Id).Fields("permissions(emailAddress)").Do()
	check(err)
	shared := []string{}
	for _, permission := range permissions.Permissions {
		shared = append(shared, permission.EmailAddress)
	}
	sort.Strings(shared)
	seen["shared"] = shared
	check(service.Files.Delete(small.Id).Do())
	changes, err := service.Changes.List(start.StartPageToken).Do()
	check(err)
	removed := []bool{}
	for _, change := range changes.Changes {
		if change.Removed {
			removed = append(removed, change.FileId == small.Id)
		}
	}
	seen["changes"], seen["removed"] = len(changes.Changes), removed
	_, err = service.Files.Get(small.Id).Do()
	seen["missing"] = err.(*googleapi.Error).Errors[0].Reason
	about, err := service.About.Get().Fields("user").Do()
	check(err)
	seen["me"] = about.User.EmailAddress
	check(json.NewEncoder(os.Stdout).Encode(seen))
}
