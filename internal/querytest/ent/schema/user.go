// Package schema has the input of ent's generator.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
)

// A User is a row of the table users.
type User struct{ ent.Schema }

// Fields implements ent.Interface.
func (User) Fields() []ent.Field {
	return []ent.Field{
		field.String("id"),
		field.String("email").Unique(),
	}
}
