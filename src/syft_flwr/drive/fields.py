"""Field masks: what Drive is asked to tell about a file. They save bytes, not quota units."""

from __future__ import annotations

FILE_FIELDS = (
    "id,name,parents,mimeType,trashed,size,createdTime,sha256Checksum,headRevisionId,properties,ownedByMe,driveId,"
    "owners(emailAddress,permissionId),lastModifyingUser(emailAddress,permissionId)"
)
LIST_FIELDS = f"nextPageToken,incompleteSearch,files({FILE_FIELDS})"
CHANGE_FIELDS = f"nextPageToken,newStartPageToken,changes(fileId,removed,time,changeType,file({FILE_FIELDS}))"
ABOUT_FIELDS = "user(emailAddress,permissionId),storageQuota(limit)"
UPLOAD_FIELDS = "id,size,trashed"
ACCESS_FIELDS = "id,name,trashed,capabilities(canAddChildren),permissions(id,role,emailAddress)"
